/** Reading safetensors headers: u64 header length, JSON header, then the tensors' bytes without gaps. */
import { ScoreheadError } from "../errors.ts";
import { LOCAL_FILES, readExactly, refuseLfsPointer } from "./files.ts";
import { type Fail, isObject, parseJsonObject, requireUniqueKeys } from "./json.ts";
import { type CheckpointDtype, type CheckpointFiles, type CheckpointTensor, DTYPE_BYTES } from "./types.ts";

/** The format's own limit. */
const MAX_HEADER_BYTES = 100_000_000;

/** Before the header: its length. */
const LENGTH_BYTES = 8;

/**
 * The tensors of a safetensors file, in the order of their bytes. No tensor data is read.
 *
 * @throws ERR_SAFETENSORS naming the file and tensor where anything is malformed, ERR_CHECKPOINT for a Git LFS pointer,
 *   ERR_NOT_FOUND, ERR_IO
 */
export async function readSafetensors(path: string, files: CheckpointFiles = LOCAL_FILES): Promise<CheckpointTensor[]> {
  const fail: Fail = (problem, cause) =>
    new ScoreheadError(
      "ERR_SAFETENSORS",
      `${path} is not a usable safetensors file: ${problem}. Download it again.`,
      cause,
    );
  return files.open(path, async (reader, size) => {
    const head = await readExactly(reader, path, 0, Math.min(size, LENGTH_BYTES));
    refuseLfsPointer(path, head);
    if (size < LENGTH_BYTES) throw fail(`it has only ${size} bytes`);
    // As a double the length is exact up to 2^53, and beyond that only compared.
    const headerBytes = head.readUInt32LE(4) * 2 ** 32 + head.readUInt32LE(0);
    if (headerBytes > size - LENGTH_BYTES)
      throw fail(`its header length ${headerBytes} reaches beyond the file's ${size} bytes`);
    if (headerBytes > MAX_HEADER_BYTES)
      throw fail(`its header length ${headerBytes} is above the format's limit of ${MAX_HEADER_BYTES}`);
    const { text, value } = parseJsonObject(await readExactly(reader, path, LENGTH_BYTES, headerBytes), fail);
    requireUniqueKeys(text, fail);
    const dataStart = LENGTH_BYTES + headerBytes;
    const tensors = Object.entries(value)
      .filter(([name]) => name !== "__metadata__")
      .map(([name, entry]) => tensorOf(path, name, entry, dataStart, fail))
      .sort((a, b) => a.offset - b.offset || a.byteLength - b.byteLength);
    requireGapless(tensors, dataStart, size, fail);
    return tensors;
  });
}

function tensorOf(path: string, name: string, entry: unknown, dataStart: number, fail: Fail): CheckpointTensor {
  if (!isObject(entry)) throw fail(`the entry of ${name} is not an object`);
  const { dtype, shape, data_offsets: offsets } = entry;
  if (!isDtype(dtype)) throw fail(`${name} has the unknown dtype ${JSON.stringify(dtype)}`);
  if (!isIntegerList(shape)) throw fail(`${name} has the malformed shape ${JSON.stringify(shape)}`);
  if (!isIntegerList(offsets) || offsets.length !== 2)
    throw fail(`${name} has the malformed data_offsets ${JSON.stringify(offsets)}`);
  const [begin = 0, end = 0] = offsets;
  const byteLength = shape.reduce((product, dim) => product * dim, DTYPE_BYTES[dtype]);
  if (end - begin !== byteLength)
    throw fail(
      `${name} has ${end - begin} bytes at ${begin}..${end}, but ${dtype} [${shape.join(", ")}] takes ${byteLength}`,
    );
  return { name, dtype, shape, file: path, offset: dataStart + begin, byteLength };
}

function isDtype(value: unknown): value is CheckpointDtype {
  return typeof value === "string" && Object.hasOwn(DTYPE_BYTES, value);
}

function isIntegerList(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0);
}

/** The format demands that the tensors fill the data exactly, so a hole is a sign of a damaged or forged header. */
function requireGapless(tensors: readonly CheckpointTensor[], dataStart: number, size: number, fail: Fail): void {
  let end = dataStart;
  let previous = "the header";
  for (const { name, offset, byteLength } of tensors) {
    const begin = offset - dataStart;
    if (offset < end) throw fail(`${name} at offset ${begin} overlaps ${previous}, which ends at ${end - dataStart}`);
    if (offset > end) throw fail(`there is a hole of ${offset - end} bytes between ${previous} and ${name}`);
    end = offset + byteLength;
    previous = name;
    if (end > size) throw fail(`${name} ends at byte ${end}, but the file has ${size}: it is truncated`);
  }
  if (end < size) throw fail(`${size - end} bytes after ${previous} belong to no tensor`);
}
