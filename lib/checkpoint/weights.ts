/** Which files of a checkpoint directory hold its weights. */
import { join } from "node:path";
import { chooseWeights, WEIGHT_NAMES, type WeightsChoice } from "../checkpoint-files.ts";
import { ScoreheadError } from "../errors.ts";
import type { CheckpointFiles } from "./types.ts";

/** The weights of a directory: one file, or an index that names several. */
export interface WeightFiles extends Omit<WeightsChoice, "name"> {
  readonly path: string;
}

/**
 * The weights of `directory`.
 *
 * @throws ERR_CHECKPOINT where there are none (with the names looked for) or several that could be meant, ERR_NOT_FOUND,
 *   ERR_IO
 */
export async function findWeights(directory: string, files: CheckpointFiles): Promise<WeightFiles> {
  const choice = chooseWeights(await files.list(directory), directory);
  if (!choice) throw new ScoreheadError("ERR_CHECKPOINT", `${directory} has no weights. Looked for ${WEIGHT_NAMES}.`);
  const { format, kind, name } = choice;
  return { format, kind, path: join(directory, name) };
}
