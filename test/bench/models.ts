/** The benchmark's models: random weights in real shapes, written once into the cache directory. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { cacheDirectory } from "../../lib/cache-directory.ts";
import { convert, type OutputType } from "../../lib/index.ts";

/** Arguments of scripts/make-checkpoint.ts. */
const SHAPES = {
  "tinyllama-1.1b": ["--hidden=2048", "--intermediate=5632", "--layers=22", "--heads=32", "--kv-heads=4", "--shards=2"],
  // Qwen3-0.6B's sizes, of which the 151,936 words are the point, in a Llama graph.
  "qwen3-0.6b-like": [
    ...["--hidden=1024", "--intermediate=3072", "--layers=28", "--heads=16", "--kv-heads=8", "--shards=1"],
    "--vocabulary=151936",
  ],
  "llama-7b": ["--hidden=4096", "--intermediate=11008", "--layers=32", "--heads=32", "--kv-heads=32", "--shards=7"],
} as const;
export type ModelName = keyof typeof SHAPES;
export const MODEL_NAMES = Object.keys(SHAPES) as ModelName[];

/** The GGUF file of a shape and type. */
export async function modelFile(name: ModelName, type: OutputType): Promise<string> {
  const folder = cacheDirectory("bench");
  const file = join(folder, `${name}.${type}.gguf`);
  if (existsSync(file)) return file;
  const checkpoint = join(folder, `${name}-cost`);
  mkdirSync(folder, { recursive: true });
  if (!existsSync(checkpoint)) {
    console.error(`Making ${name} …`);
    const script = new URL("../../scripts/make-checkpoint.ts", import.meta.url).pathname;
    const made = spawnSync(process.execPath, ["--import", "tsx", script, ...SHAPES[name], checkpoint], {
      stdio: "inherit",
    });
    if (made.status !== 0) {
      rmSync(checkpoint, { recursive: true, force: true });
      throw new Error(`${name} could not be made.`);
    }
  }
  console.error(`Converting ${name} to ${type} …`);
  await convert(checkpoint, file, { type, profile: "beaver-cost" });
  return file;
}
