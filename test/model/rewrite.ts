/** Copies of a GGUF file with other metadata or other numbers: files that are valid GGUF and wrong in what they say. */
import { open } from "node:fs/promises";
import { readGguf } from "../../lib/gguf/read.ts";
import type { GgufTensor, GgufValue } from "../../lib/gguf/types.ts";
import { type TensorPlan, writeGguf } from "../../lib/gguf/write.ts";

export interface Changes {
  /** Changes the metadata in place. */
  readonly metadata?: (metadata: Map<string, GgufValue>) => void;
  /** The tensors to keep, perhaps with other dims; default all. */
  readonly tensors?: (tensors: readonly GgufTensor[]) => readonly GgufTensor[];
  /** Changes a tensor's bytes in place. */
  readonly data?: (name: string, bytes: Buffer) => void;
  /** Tensors behind the file's own. */
  readonly added?: readonly (TensorPlan & { readonly bytes: Uint8Array })[];
}

/** Writes a changed copy of a GGUF file. */
export async function rewriteGguf(input: string, output: string, changes: Changes): Promise<void> {
  const file = await readGguf(input);
  const metadata = new Map(file.metadata);
  changes.metadata?.(metadata);
  const tensors = changes.tensors?.(file.tensors) ?? file.tensors;
  const { added = [] } = changes;
  const plans = [...tensors.map(({ name, dims, typeName }) => ({ name, dims, type: typeName })), ...added];
  const handle = await open(input, "r");
  try {
    await writeGguf(output, metadata, plans, async function* (index) {
      const extra = added[index - tensors.length];
      if (extra) return yield extra.bytes;
      const { name, offset, byteLength } = tensors[index] as GgufTensor;
      const { buffer } = await handle.read(Buffer.alloc(byteLength), 0, byteLength, offset);
      changes.data?.(name, buffer);
      yield buffer;
    });
  } finally {
    await handle.close();
  }
}
