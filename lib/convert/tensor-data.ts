/** A checkpoint tensor's bytes on their way to the file: read in pieces, reordered where rotary, converted. */
import { readRange, readTensor } from "../checkpoint/read.ts";
import type { CheckpointFiles, CheckpointTensor } from "../checkpoint/types.ts";
import { convertElements, elements, type FloatDtype } from "./dtype.ts";
import type { PlannedTensor } from "./plan.ts";

/** Large enough for full disk speed; a tensor of any size passes through a few of these. */
const CHUNK_BYTES = 8 * 1024 * 1024;

/** The converted bytes of a tensor, in file order. */
export async function* tensorBytes({ source, type, rotaryHeads }: PlannedTensor): AsyncGenerator<Uint8Array> {
  const pieces =
    rotaryHeads === null ? readTensor(source, { chunkBytes: CHUNK_BYTES }) : rotaryBlocks(source, rotaryHeads);
  for await (const piece of pieces) yield convertElements(piece, source.dtype, type, source.name);
}

/** All elements of a small tensor as float32. */
export async function readFloats(
  tensor: CheckpointTensor & { readonly dtype: FloatDtype },
  files: CheckpointFiles,
): Promise<Float32Array> {
  const bytes = await readRange(tensor, 0, tensor.byteLength, files);
  return elements(convertElements(bytes, tensor.dtype, "F32", tensor.name), Float32Array).slice();
}

/**
 * Reorders rows head by head. transformers rotates element j of a head with element j + size/2; llama.cpp's Llama graph
 * rotates neighbours, so the two halves of each head's rows are interleaved.
 */
async function* rotaryBlocks(tensor: CheckpointTensor, heads: number): AsyncGenerator<Uint8Array> {
  const rows = tensor.shape[0] as number;
  const rowBytes = tensor.byteLength / rows;
  const headRows = rows / heads;
  const half = headRows / 2;
  const blockBytes = headRows * rowBytes;
  for (let head = 0; head < heads; head++) {
    const block = await readRange(tensor, head * blockBytes, blockBytes);
    const out = new Uint8Array(blockBytes);
    for (let row = 0; row < headRows; row++) {
      const from = (row % 2 === 0 ? 0 : half) + (row >> 1);
      out.set(block.subarray(from * rowBytes, (from + 1) * rowBytes), row * rowBytes);
    }
    yield out;
  }
}
