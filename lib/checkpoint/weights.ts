/** Which files of a checkpoint directory hold its weights. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { ioError, ScoreheadError } from "../errors.ts";

export type WeightFormat = "safetensors" | "torch";

/** The weights of a directory: one file, or an index that names several. */
export interface WeightFiles {
  readonly format: WeightFormat;
  readonly kind: "index" | "single";
  readonly path: string;
}

interface Candidate {
  readonly format: WeightFormat;
  readonly kind: WeightFiles["kind"];
  readonly pattern: RegExp;
  /** The name as people know it, for the message when nothing is found. */
  readonly label: string;
}

/** In order of preference: the first pattern that matches decides, and must match one file only. */
const CANDIDATES: readonly Candidate[] = [
  {
    format: "safetensors",
    kind: "index",
    pattern: /^model\.safetensors\.index\.json$/,
    label: "model.safetensors.index.json",
  },
  { format: "safetensors", kind: "single", pattern: /^model\.safetensors$/, label: "model.safetensors" },
  { format: "safetensors", kind: "single", pattern: /\.safetensors$/, label: "*.safetensors" },
  {
    format: "torch",
    kind: "index",
    pattern: /^pytorch_model\.bin\.index\.json$/,
    label: "pytorch_model.bin.index.json",
  },
  { format: "torch", kind: "single", pattern: /^pytorch_model\.bin$/, label: "pytorch_model.bin" },
  { format: "torch", kind: "single", pattern: /^pytorch_model.*\.bin$/, label: "pytorch_model*.bin" },
  { format: "torch", kind: "single", pattern: /model\.bin$/, label: "*model.bin" },
  { format: "torch", kind: "single", pattern: /\.(pt|pth)$/, label: "*.pt or *.pth" },
];

/** What transformers' Trainer leaves beside the weights. */
const TRAINER_STATE = /^(optimizer|scheduler|scaler|rng_state.*|training_args)\.(pt|pth|bin)$/;

/**
 * The weights of `directory`.
 *
 * @throws ERR_CHECKPOINT where there are none (with the names looked for) or several that could be meant, ERR_NOT_FOUND,
 *   ERR_IO
 */
export async function findWeights(directory: string): Promise<WeightFiles> {
  const names = (await list(directory)).filter((name) => !TRAINER_STATE.test(name)).sort();
  for (const { format, kind, pattern } of CANDIDATES) {
    const [name, ...others] = names.filter((candidate) => pattern.test(candidate));
    if (name === undefined) continue;
    if (others.length > 0)
      throw new ScoreheadError(
        "ERR_CHECKPOINT",
        `${directory} has several files that could be the weights and no index that says which: ${[name, ...others].join(", ")}. Download the index as well, or keep one.`,
      );
    return { format, kind, path: join(directory, name) };
  }
  throw new ScoreheadError(
    "ERR_CHECKPOINT",
    `${directory} has no weights. Looked for ${CANDIDATES.map(({ label }) => label).join(", ")}.`,
  );
}

async function list(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOTDIR")
      throw new ScoreheadError("ERR_CHECKPOINT", `${directory} is a file. Name the checkpoint's directory.`, cause);
    throw ioError("read", directory, cause);
  }
}
