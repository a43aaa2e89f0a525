/** Opening a checkpoint directory: its config and its tensors as checked byte ranges. */
import { join } from "node:path";
import { LOCAL_FILES } from "./files.ts";
import { readJsonIfPresent } from "./json.ts";
import { readSafetensors } from "./safetensors.ts";
import { readShards } from "./shards.ts";
import { readTorchZip } from "./torch-zip.ts";
import type { Checkpoint, CheckpointFiles } from "./types.ts";
import { findWeights } from "./weights.ts";

const READERS = { safetensors: readSafetensors, torch: readTorchZip } as const;

/**
 * The checkpoint in `directory`. Headers are read and checked; tensor data is not read.
 *
 * Weights are the first of: `model.safetensors.index.json` with its shards, `model.safetensors`, the only
 * `*.safetensors`, `pytorch_model.bin.index.json` with its shards, `pytorch_model.bin`, the only `pytorch_model*.bin`,
 * the only `*model.bin`, the only `*.pt` or `*.pth`.
 *
 * @param files where the weights are; everything else is read from `directory` itself
 * @returns `config` is null where there is no config.json
 * @throws ERR_CHECKPOINT (no weights, missing or contradicting shards), ERR_CONFIG (malformed config.json),
 *   ERR_SAFETENSORS, ERR_ZIP, ERR_PICKLE, ERR_TENSOR, ERR_UNSUPPORTED, ERR_NOT_FOUND, ERR_IO
 */
export async function openCheckpoint(directory: string, files: CheckpointFiles = LOCAL_FILES): Promise<Checkpoint> {
  const { format, kind, path } = await findWeights(directory, files);
  const config = await readJsonIfPresent(join(directory, "config.json"), "ERR_CONFIG");
  const read = READERS[format];
  const tensors = await (kind === "index" ? readShards(path, read, files) : read(path, files));
  return { directory, config, tensors: new Map(tensors.map((tensor) => [tensor.name, tensor])), files };
}
