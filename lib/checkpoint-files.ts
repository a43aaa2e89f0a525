/** Which of a checkpoint's files matter: one rule for a directory on disk and for a listing of the hub. */
import { ScoreheadError } from "./errors.ts";

/** What is read beside the weights: config, tokenizer and chat template, as every generation of tools leaves them. */
export const SETTINGS_FILES: readonly string[] = [
  "config.json",
  "tokenizer.json",
  "tokenizer.model",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "chat_template.jinja",
];

export type WeightFormat = "safetensors" | "torch";

/** The weights of a checkpoint: one file, or an index that names several. */
export interface WeightsChoice {
  readonly format: WeightFormat;
  readonly kind: "index" | "single";
  readonly name: string;
}

interface Candidate extends Omit<WeightsChoice, "name"> {
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

/** The names that {@link chooseWeights} looks for. */
export const WEIGHT_NAMES: string = CANDIDATES.map(({ label }) => label).join(", ");

/** What transformers' Trainer leaves beside the weights. */
const TRAINER_STATE = /^(optimizer|scheduler|scaler|rng_state.*|training_args)\.(pt|pth|bin)$/;

/**
 * The weights among a checkpoint's files, or null where there are none.
 * @param names of the files beside each other, without folders
 * @param where begins the message
 * @throws ERR_CHECKPOINT where several could be meant
 */
export function chooseWeights(names: readonly string[], where: string): WeightsChoice | null {
  const possible = names.filter((name) => !TRAINER_STATE.test(name)).sort();
  for (const { format, kind, pattern } of CANDIDATES) {
    const [name, ...others] = possible.filter((candidate) => pattern.test(candidate));
    if (name === undefined) continue;
    if (others.length > 0)
      throw new ScoreheadError(
        "ERR_CHECKPOINT",
        `${where} has several files that could be the weights and no index that says which: ${[name, ...others].join(", ")}. Download the index as well, or keep one.`,
      );
    return { format, kind, name };
  }
  return null;
}
