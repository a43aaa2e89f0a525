/** Reading the zip form of torch.save: `<root>/data.pkl` describes the tensors, `<root>/data/<key>` holds their storages. */
import { ScoreheadError } from "../errors.ts";
import { LOCAL_FILES, readExactly, refuseLfsPointer } from "./files.ts";
import type { Fail } from "./json.ts";
import { parsePickle } from "./pickle.ts";
import { isKind, type PickleDict, type PickleValue, type TorchTensor } from "./pickle-values.ts";
import { type ByteReader, type CheckpointFiles, type CheckpointTensor, DTYPE_BYTES } from "./types.ts";
import { readZipDirectory, type ZipRange } from "./zip.ts";

/** A tensor takes about 150 bytes of pickle, so this is room for 100,000 of them. */
const MAX_PICKLE_BYTES = 16 * 1024 * 1024;

/** `little` or `big`. */
const MAX_BYTEORDER_BYTES = 16;

/** Where trainers put the state dict when they save more than that. */
const NESTING_KEYS = ["state_dict", "model", "module"] as const;

/** One archive while it is being read. */
interface Archive {
  readonly path: string;
  readonly reader: ByteReader;
  readonly entries: ReadonlyMap<string, ZipRange>;
  /** The folder that all entries are in. */
  readonly root: string;
}

/**
 * The tensors of a torch zip file in the order of its state dict; aliases of one storage appear under each name.
 * Nothing in the file is executed, and no tensor data is read.
 *
 * @throws ERR_ZIP, ERR_PICKLE, ERR_TENSOR (not contiguous, outside its storage), ERR_UNSUPPORTED (the form before
 *   torch 1.6, big-endian), ERR_CHECKPOINT (Git LFS pointer, no state dict), ERR_NOT_FOUND, ERR_IO
 */
export async function readTorchZip(path: string, files: CheckpointFiles = LOCAL_FILES): Promise<CheckpointTensor[]> {
  return files.open(path, async (reader, size) => {
    requireZip(path, await readExactly(reader, path, 0, Math.min(size, 4)));
    const entries = await readZipDirectory(reader, size, zipFail(path));
    const archive = { path, reader, entries, root: rootOf(path, entries) };
    await requireLittleEndian(archive);
    const pickle = await readEntry(archive, "data.pkl", MAX_PICKLE_BYTES);
    const pickleFail: Fail = (problem, cause) =>
      new ScoreheadError(
        "ERR_PICKLE",
        `The pickle in ${path} cannot be read: ${problem}. Save the bare state dict again with torch, or as safetensors.`,
        cause,
      );
    const state = stateDict(path, parsePickle(pickle, pickleFail));
    return [...state.entries].map(([name, value]) => tensorOf(archive, String(name), value));
  });
}

function zipFail(path: string): Fail {
  return (problem, cause) =>
    new ScoreheadError("ERR_ZIP", `${path} is not a usable torch zip file: ${problem}. Download it again.`, cause);
}

function requireZip(path: string, head: Buffer): void {
  refuseLfsPointer(path, head);
  if (head.toString("latin1") === "PK\u0003\u0004") return;
  // Before torch 1.6 a file was a bare sequence of pickles, the first of them the magic number.
  if (head[0] === 0x80)
    throw new ScoreheadError(
      "ERR_UNSUPPORTED",
      `${path} has the form that torch used before version 1.6. Save it again with torch >= 1.6 or as safetensors.`,
    );
  throw zipFail(path)("it does not start like a zip archive");
}

function rootOf(path: string, entries: ReadonlyMap<string, ZipRange>): string {
  const pickles = [...entries.keys()].filter((name) => /^[^/]+\/data\.pkl$/.test(name));
  const [pickle] = pickles;
  if (pickle === undefined) throw zipFail(path)("it has no entry data.pkl");
  if (pickles.length > 1) throw zipFail(path)(`it has several entries data.pkl: ${pickles.join(", ")}`);
  return pickle.slice(0, -"/data.pkl".length);
}

/** Archives written before torch 2.0 do not say; they are little-endian wherever llama.cpp's packages run. */
async function requireLittleEndian(archive: Archive): Promise<void> {
  if (!archive.entries.has(`${archive.root}/byteorder`)) return;
  const order = (await readEntry(archive, "byteorder", MAX_BYTEORDER_BYTES)).toString("latin1");
  if (order !== "little")
    throw new ScoreheadError(
      "ERR_UNSUPPORTED",
      `${archive.path} has the byte order ${JSON.stringify(order)}. Save it again on a little-endian machine.`,
    );
}

async function readEntry({ path, reader, entries, root }: Archive, name: string, maxBytes: number): Promise<Buffer> {
  const entry = entries.get(`${root}/${name}`);
  if (entry === undefined) throw zipFail(path)(`it has no entry ${name}`);
  if (entry.size > maxBytes) throw zipFail(path)(`its entry ${name} has ${entry.size} bytes, more than ${maxBytes}`);
  return readExactly(reader, path, entry.offset, entry.size);
}

/** The dict of tensors: the pickled value itself, or what it holds under one of the usual keys. */
function stateDict(path: string, value: PickleValue): PickleDict {
  if (!isKind(value, "dict")) throw noStateDict(path, "its pickle is not a dict");
  if ([...value.entries.values()].some((item) => isKind(item, "tensor"))) return value;
  for (const key of NESTING_KEYS) {
    const nested = value.entries.get(key);
    if (isKind(nested, "dict")) return nested;
  }
  const keys = [...value.entries.keys()].slice(0, 10).join(", ");
  throw noStateDict(path, `its pickle is a dict without tensors (keys: ${keys || "none"})`);
}

function noStateDict(path: string, problem: string): ScoreheadError {
  return new ScoreheadError(
    "ERR_CHECKPOINT",
    `${path} holds no state dict: ${problem}. Save model.state_dict() itself.`,
  );
}

function tensorOf(archive: Archive, name: string, value: PickleValue): CheckpointTensor {
  const fail = (problem: string) =>
    new ScoreheadError("ERR_TENSOR", `${name} in ${archive.path} ${problem}. Save the bare state dict again.`);
  if (!isKind(value, "tensor")) throw fail("is not a tensor");
  const { storage, storageOffset, shape } = value;
  const elementBytes = DTYPE_BYTES[storage.dtype];
  const entry = archive.entries.get(`${archive.root}/data/${storage.key}`);
  if (entry === undefined) throw fail(`needs the entry data/${storage.key}, which the archive does not have`);
  if (entry.size !== storage.elements * elementBytes)
    throw zipFail(archive.path)(
      `its entry data/${storage.key} has ${entry.size} bytes, but its ${storage.elements} elements of ${storage.dtype} take ${storage.elements * elementBytes}`,
    );
  if (!isContiguous(value)) throw fail(`has the strides [${value.strides.join(", ")}], which are not contiguous`);
  const elements = shape.reduce((product, dim) => product * dim, 1);
  if (storageOffset + elements > storage.elements)
    throw fail(`covers elements ${storageOffset}..${storageOffset + elements} of a storage of ${storage.elements}`);
  return {
    name,
    dtype: storage.dtype,
    shape,
    file: archive.path,
    offset: entry.offset + storageOffset * elementBytes,
    byteLength: elements * elementBytes,
  };
}

/** Row-major without gaps. The stride of an axis of one element, and every stride of an empty tensor, means nothing. */
function isContiguous({ shape, strides }: TorchTensor): boolean {
  if (shape.includes(0)) return true;
  let expected = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const dim = shape[axis] ?? 1;
    if (dim !== 1 && strides[axis] !== expected) return false;
    expected *= dim;
  }
  return true;
}
