/** Reading sharded weights through their index, and proving that index and shards agree in both directions. */
import { readFile } from "node:fs/promises";
import { dirname, isAbsolute, join, normalize, sep } from "node:path";
import { ioError, ScoreheadError } from "../errors.ts";
import { isObject, parseJsonObject, requireUniqueKeys } from "./json.ts";
import type { CheckpointFiles, CheckpointTensor } from "./types.ts";

type ReadShard = (path: string, files: CheckpointFiles) => Promise<CheckpointTensor[]>;

/**
 * All tensors of the shards that the index at `indexPath` names, each exactly where the index says.
 *
 * @param readShard reads one shard
 * @throws ERR_CHECKPOINT where index and shards disagree, naming the shard and tensor; the errors of `readShard`
 */
export async function readShards(
  indexPath: string,
  readShard: ReadShard,
  files: CheckpointFiles,
): Promise<CheckpointTensor[]> {
  const directory = dirname(indexPath);
  const shardOf = await readIndex(indexPath);
  const shards = [...new Set(shardOf.values())];
  requireInside(indexPath, shards);
  await requireDistinct(directory, indexPath, shards, files);
  const tensors = new Map<string, CheckpointTensor>();
  for (const shard of shards) {
    for (const tensor of await readShard(join(directory, shard), files)) {
      const { name } = tensor;
      const twin = tensors.get(name);
      if (twin !== undefined)
        throw contradiction(
          indexPath,
          `${name} is in two shards, ${twin.file} and ${tensor.file}: one of them is a copy`,
        );
      const listed = shardOf.get(name);
      if (listed === undefined) throw contradiction(indexPath, `${name} in ${shard} is not listed`);
      if (listed !== shard) throw contradiction(indexPath, `${name} is listed in ${listed}, but it is in ${shard}`);
      tensors.set(name, tensor);
    }
  }
  for (const [name, shard] of shardOf)
    if (!tensors.has(name)) throw contradiction(indexPath, `${name} is listed in ${shard}, but it is not there`);
  return [...tensors.values()];
}

function contradiction(indexPath: string, problem: string): ScoreheadError {
  return new ScoreheadError("ERR_CHECKPOINT", `${indexPath} and its shards disagree: ${problem}. Download them again.`);
}

/** Tensor name to shard name. */
async function readIndex(path: string): Promise<Map<string, string>> {
  const fail = (problem: string, cause?: unknown) =>
    new ScoreheadError("ERR_CHECKPOINT", `${path} is not a usable index: ${problem}. Download it again.`, cause);
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (cause) {
    throw ioError("read", path, cause);
  }
  const { text, value } = parseJsonObject(bytes, fail);
  requireUniqueKeys(text, fail);
  if (!isObject(value.weight_map)) throw fail("it has no weight_map");
  const shardOf = new Map<string, string>();
  for (const [name, shard] of Object.entries(value.weight_map)) {
    if (typeof shard !== "string" || shard === "") throw fail(`it gives no shard for ${name}`);
    shardOf.set(name, shard);
  }
  if (shardOf.size === 0) throw fail("its weight_map is empty");
  return shardOf;
}

/** An index comes from the network; it must not reach files that the user did not name. */
function requireInside(indexPath: string, shards: readonly string[]): void {
  for (const shard of shards)
    if (isAbsolute(shard) || shard.includes("\\") || normalize(shard).split(sep)[0] === "..")
      throw new ScoreheadError(
        "ERR_CHECKPOINT",
        `${indexPath} names the shard ${JSON.stringify(shard)}, which is outside its directory. Download the index again.`,
      );
}

/** Every shard is there, and no two names lead to one file. */
async function requireDistinct(
  directory: string,
  indexPath: string,
  shards: readonly string[],
  files: CheckpointFiles,
): Promise<void> {
  const seen = new Map<string, string>();
  for (const shard of shards) {
    const identity = await files.identity(join(directory, shard));
    if (identity === null)
      throw new ScoreheadError(
        "ERR_CHECKPOINT",
        `The shard ${shard}, which ${indexPath} names, is missing from ${directory}. Download it.`,
      );
    const twin = seen.get(identity);
    if (twin !== undefined) throw contradiction(indexPath, `one shard is listed twice, as ${twin} and as ${shard}`);
    seen.set(identity, shard);
  }
}
