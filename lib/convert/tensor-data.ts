/** A checkpoint tensor's bytes on their way to the file: read in pieces, its rows reordered, scaled, converted. */
import type { RowBlock } from "../architectures/types.ts";
import { readRange, readTensor } from "../checkpoint/read.ts";
import type { CheckpointFiles, CheckpointTensor } from "../checkpoint/types.ts";
import { asBytes, convertElements, elements } from "./dtype.ts";
import type { PlannedTensor, TensorSource } from "./plan-tensors.ts";
import type { FloatTensor } from "./requirements.ts";

/** Large enough for full disk speed; a tensor of any size passes through a few of these. */
const CHUNK_BYTES = 8 * 1024 * 1024;

type CheckpointSource = Extract<TensorSource, { kind: "checkpoint" }>;

/** The converted bytes of a tensor, in file order. */
export async function* tensorBytes({ source, type }: PlannedTensor): AsyncGenerator<Uint8Array> {
  if (source.kind === "numbers") return yield convertElements(asBytes(source.values), "F32", type, "the factors");
  const { tensor, scale, offset } = source;
  for await (const piece of pieces(source)) {
    if (scale === 1 && offset === 0) yield convertElements(piece, tensor.dtype, type, tensor.name);
    else {
      const numbers = elements(convertElements(piece, tensor.dtype, "F32", tensor.name), Float32Array);
      const changed = numbers.map((number) => offset + scale * number);
      yield convertElements(asBytes(changed), "F32", type, tensor.name);
    }
  }
}

/** All elements of a small tensor as float32. */
export async function readFloats(tensor: FloatTensor, files: CheckpointFiles): Promise<Float32Array> {
  const bytes = await readRange(tensor, 0, tensor.byteLength, files);
  return elements(convertElements(bytes, tensor.dtype, "F32", tensor.name), Float32Array).slice();
}

function pieces({ tensor, blocks, interleaved }: CheckpointSource): AsyncGenerator<Uint8Array> {
  return blocks === null ? readTensor(tensor, { chunkBytes: CHUNK_BYTES }) : readBlocks(tensor, blocks, interleaved);
}

/**
 * Blocks of rows, a head each. transformers rotates element j of a head with element j + size/2; where the graph rotates
 * neighbours, the two halves of each head's rows are interleaved.
 */
async function* readBlocks(
  tensor: CheckpointTensor,
  blocks: readonly RowBlock[],
  interleaved: boolean,
): AsyncGenerator<Uint8Array> {
  const rowBytes = tensor.byteLength / (tensor.shape[0] as number);
  for (const { start, count } of blocks) {
    const block = await readRange(tensor, start * rowBytes, count * rowBytes);
    yield interleaved ? interleave(block, count, rowBytes) : block;
  }
}

function interleave(block: Uint8Array, rows: number, rowBytes: number): Uint8Array {
  const out = new Uint8Array(block.length);
  for (let row = 0; row < rows; row++) {
    const from = (row % 2 === 0 ? 0 : rows / 2) + (row >> 1);
    out.set(block.subarray(from * rowBytes, (from + 1) * rowBytes), row * rowBytes);
  }
  return out;
}
