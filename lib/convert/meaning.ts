/** What a head's scores mean and where they are read: a profile's word, filled in from the checkpoint's config. */
import type { JsonObject } from "../checkpoint/types.ts";
import { readToken } from "../head/read-position.ts";
import { defaultLabels } from "../head/spec.ts";
import type { HeadFacts, HeadSpec, ReadPosition } from "../head/types.ts";
import { scoreType } from "../prompt/profiles.ts";
import type { Profile } from "../prompt/types.ts";

/** What a head's tensors do not say. */
export interface Reading extends Omit<HeadFacts, "type" | "labels" | "outputs" | "hiddenSize" | "normalizer"> {
  /** null: a reward where there is one output, else attributes. */
  readonly type: HeadFacts["type"] | null;
  /** null: the config's, or named after the type. */
  readonly labels: readonly string[] | null;
}

/** How a profile reads a head's scores. @param longest the most tokens that the backbone takes */
export function readingOf(profile: Profile, config: JsonObject, longest: number, source: HeadSpec["source"]): Reading {
  return {
    profile: profile.name,
    type: profile.type,
    labels: profile.labels,
    read: configuredRead(profile.read, config),
    maxLength: Math.min(profile.maxLength ?? longest, longest),
    truncationSide: profile.truncation.side,
    source,
  };
}

/** A profile that reads at a token reads at the config's, where that names one. */
function configuredRead(read: ReadPosition, { reward_token_id: token }: JsonObject): ReadPosition {
  const followsConfig = readToken(read) !== null && Number.isSafeInteger(token) && (token as number) >= 0;
  return followsConfig ? `token:${token as number}` : read;
}

/** @throws ERR_HEAD where the reading's labels are not as many as the outputs */
export function headMeaning(reading: Reading, config: JsonObject, outputs: number): Pick<HeadFacts, "type" | "labels"> {
  const type = scoreType(reading, outputs);
  const own = outputs > 1 ? configLabels(config, outputs) : null;
  const isNamed = type === "attributes" || own?.some((name, i) => name !== `LABEL_${i}`);
  const labels = reading.labels ?? (isNamed ? own : null);
  return { type, labels: defaultLabels(type, outputs, labels) };
}

/** transformers' `id2label`; null where it does not name every output by a name of its own. */
function configLabels({ id2label }: JsonObject, outputs: number): string[] | null {
  const names = Array.from({ length: outputs }, (_, i) => (id2label as JsonObject | null | undefined)?.[i]);
  const areNames = names.every((name) => typeof name === "string" && name !== "") && new Set(names).size === outputs;
  return areNames ? (names as string[]) : null;
}
