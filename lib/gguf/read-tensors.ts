/** Reading the tensor descriptions of a GGUF header and proving that every tensor lies inside the file. */
import type { HeaderCursor } from "./cursor.ts";
import { GGML_TYPES, type GgmlType } from "./ggml-types.ts";
import { ggufError, MAX_DIMS, MAX_TENSOR_NAME_BYTES, padded } from "./layout.ts";
import type { GgufTensor } from "./types.ts";

/** A mixture of experts with split experts reaches some 20,000. */
const MAX_TENSORS = 65_536;

/** Name length, one character, axis count, one axis, type, offset. */
const MIN_TENSOR_BYTES = 8 + 1 + 4 + 8 + 4 + 8;

/** A description as stored: the offset counts from the start of the tensor data, which is not known yet. */
interface Description {
  readonly name: string;
  readonly dims: readonly number[];
  readonly type: number;
  readonly typeName: string;
  readonly relativeOffset: number;
  readonly byteLength: number;
}

/** Reads `count` descriptions; `count` is unchecked. */
export async function readTensors(
  cursor: HeaderCursor,
  count: number,
  alignment: number,
  fileSize: number,
): Promise<GgufTensor[]> {
  if (count > MAX_TENSORS) throw ggufError(cursor.path, `it claims ${count} tensors, more than ${MAX_TENSORS}`);
  cursor.requireRoom(count, MIN_TENSOR_BYTES, "the tensor list");
  const names = new Set<string>();
  const descriptions: Description[] = [];
  for (let i = 0; i < count; i++) {
    const description = await readDescription(cursor, i);
    if (names.has(description.name)) throw ggufError(cursor.path, `the tensor ${description.name} appears twice`);
    names.add(description.name);
    descriptions.push(description);
  }
  return place(cursor.path, descriptions, padded(cursor.offset, alignment), alignment, fileSize);
}

async function readDescription(cursor: HeaderCursor, index: number): Promise<Description> {
  const name = await cursor.name(`the name of tensor ${index}`, MAX_TENSOR_NAME_BYTES);
  const what = `the description of ${name}`;
  const axes = await cursor.u32(what);
  if (axes < 1 || axes > MAX_DIMS) throw ggufError(cursor.path, `${name} has ${axes} dimensions, not 1 to ${MAX_DIMS}`);
  const dims: number[] = [];
  for (let axis = 0; axis < axes; axis++) dims.push(await cursor.u64(what));
  const type = await cursor.u32(what);
  const relativeOffset = await cursor.u64(what);
  const ggml = GGML_TYPES.get(type);
  if (ggml === undefined)
    throw ggufError(cursor.path, `${name} has tensor type ${type}, which llama.cpp does not know`);
  const byteLength = tensorBytes(cursor.path, name, dims, ggml);
  return { name, dims, type, typeName: ggml.name, relativeOffset, byteLength };
}

function tensorBytes(path: string, name: string, dims: readonly number[], type: GgmlType): number {
  const shape = `[${dims.join(", ")}]`;
  if (dims.some((dim) => dim < 1)) throw ggufError(path, `${name} has an empty dimension in ${shape}`);
  const elements = dims.reduce((product, dim) => product * dim, 1);
  // Beyond 2^53 a double is no longer exact, and no file is that large.
  if (elements * type.blockBytes > Number.MAX_SAFE_INTEGER)
    throw ggufError(path, `${name} has absurd dimensions ${shape}`);
  const [rowLength = 1] = dims;
  if (rowLength % type.blockSize !== 0)
    throw ggufError(
      path,
      `${name} has rows of ${rowLength}, not a multiple of ${type.name}'s block of ${type.blockSize}`,
    );
  return (elements / type.blockSize) * type.blockBytes;
}

/** llama.cpp wants tensors back to back in the order of the list, each padded to the alignment; so nothing can overlap. */
function place(
  path: string,
  descriptions: readonly Description[],
  dataStart: number,
  alignment: number,
  fileSize: number,
): GgufTensor[] {
  let expected = 0;
  let previous = "the header";
  return descriptions.map(({ name, dims, type, typeName, relativeOffset, byteLength }) => {
    if (relativeOffset % alignment !== 0)
      throw ggufError(path, `${name} has offset ${relativeOffset}, not a multiple of the alignment ${alignment}`);
    if (relativeOffset < expected)
      throw ggufError(path, `${name} has offset ${relativeOffset} and overlaps ${previous}, which ends at ${expected}`);
    if (relativeOffset > expected)
      throw ggufError(path, `${name} has offset ${relativeOffset}, expected ${expected} right after ${previous}`);
    const offset = dataStart + relativeOffset;
    if (offset + byteLength > fileSize)
      throw ggufError(path, `${name} ends at byte ${offset + byteLength}, but the file has ${fileSize}`);
    expected += padded(byteLength, alignment);
    previous = name;
    return { name, dims, type, typeName, offset, byteLength };
  });
}
