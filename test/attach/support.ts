/** Files as other tools make them, from the fixtures: a model without a head, and a head without a model. */
import { copyFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { openCheckpoint } from "../../lib/checkpoint/open.ts";
import { readTensor } from "../../lib/checkpoint/read.ts";
import { type LoadOptions, type OutputType, ScoreModel } from "../../lib/index.ts";
import type { CaseName } from "../fixtures/cases.ts";
import { type GoldenResult, loadGolden } from "../fixtures/golden.ts";
import { writeSafetensors } from "../fixtures/safetensors.ts";
import type { TensorSource } from "../fixtures/tensor.ts";
import { expectResults, READ_LAST } from "../model/expect-golden.ts";
import { type Changes, rewriteGguf } from "../model/rewrite.ts";
import type { Workspace } from "../model/support.ts";

/** What llama.cpp's converter writes beside what ours does. */
const FOREIGN_KEYS = [
  ["general.type", { type: "string", value: "model" }],
  ["general.name", { type: "string", value: "Some Llama" }],
  ["general.quantization_version", { type: "u32", value: 2 }],
  ["llama.rope.scaling.type", { type: "string", value: "none" }],
  ["llama.expert_count", { type: "u32", value: 0 }],
  ["tokenizer.ggml.add_sep_token", { type: "bool", value: false }],
] as const;

/** A case's model as another tool would have converted it: without any key of ours. */
export async function foreignFile(
  { gguf, path }: Workspace,
  name: CaseName,
  type: OutputType = "f32",
  changes: Changes = {},
): Promise<string> {
  const file = path(`foreign-${Math.random().toString(36).slice(2)}.gguf`);
  await rewriteGguf(await gguf(name, type), file, {
    ...changes,
    metadata: (metadata) => {
      for (const key of [...metadata.keys()]) if (key.startsWith("scorehead.")) metadata.delete(key);
      for (const [key, value] of FOREIGN_KEYS) metadata.set(key, value);
      changes.metadata?.(metadata);
    },
  });
  return file;
}

/** The tensors of a case's head, under the names that `rename` gives. */
export async function headTensors(
  { checkpoint }: Workspace,
  name: CaseName,
  rename: (name: string) => string = (same) => same,
): Promise<TensorSource[]> {
  const { directory } = await checkpoint(name);
  const { tensors } = await openCheckpoint(directory);
  const isHead = (tensor: string): boolean => !/^(model|transformer)\./.test(tensor);
  return Promise.all(
    [...tensors.values()]
      .filter((tensor) => isHead(tensor.name))
      .map(async (tensor) => {
        const chunks: Uint8Array[] = [];
        for await (const chunk of readTensor(tensor)) chunks.push(chunk);
        return { ...tensor, name: rename(tensor.name), chunks: () => chunks };
      }),
  );
}

/** A safetensors file of a case's head, without the normaliser's buffers, under a name that says nothing. */
export async function headFile(
  workspace: Workspace,
  name: CaseName,
  rename?: (name: string) => string,
): Promise<string> {
  const file = workspace.path(`head-${Math.random().toString(36).slice(2)}.safetensors`);
  const tensors = await headTensors(workspace, name, rename);
  writeSafetensors(
    file,
    tensors.filter((tensor) => !tensor.name.startsWith("normalizer.")),
  );
  return file;
}

/** A directory of that name with a case's head and config, and nothing else. */
export async function headDirectory(workspace: Workspace, name: CaseName, directory: string): Promise<string> {
  const folder = workspace.path(directory);
  mkdirSync(folder, { recursive: true });
  const { tokenizerDirectory } = await workspace.checkpoint(name);
  copyFileSync(join(tokenizerDirectory, "config.json"), join(folder, "config.json"));
  writeSafetensors(join(folder, "model.safetensors"), await headTensors(workspace, name));
  return folder;
}

/** float32 numbers as a tensor's bytes. */
export const f32 = (...numbers: readonly number[]): Uint8Array => new Uint8Array(Float32Array.from(numbers).buffer);

/** A safetensors file of float32 tensors. */
export function writeFloats(
  path: string,
  tensors: Record<string, readonly [shape: number[], numbers: number[]]>,
): string {
  writeSafetensors(
    path,
    Object.entries(tensors).map(([name, [shape, numbers]]) => ({
      name,
      dtype: "F32",
      shape,
      chunks: () => [f32(...numbers)],
    })),
  );
  return path;
}

/** What a backbone of another tool is scored with. */
export const EXACT = { device: "cpu", threads: 1, kv: "f32" } as const;
const F32_BOUND = 2e-5;

/** Results whose text any tokenizer of the family reads alike. */
export const plain = (name: CaseName): GoldenResult[] =>
  loadGolden(name).results.filter(({ text }) => typeof text !== "string" || !/^[ ▁]|<(s|\/s|unk|pad)>/.test(text));

export async function expectGolden(
  file: string,
  results: readonly GoldenResult[],
  options: LoadOptions = {},
): Promise<void> {
  await using model = await ScoreModel.load(file, { ...EXACT, ...options });
  const output = await model.score(
    results.map(({ text }) => text),
    READ_LAST,
  );
  expectResults(output, results, F32_BOUND);
}
