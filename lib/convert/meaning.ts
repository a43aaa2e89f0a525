/** What a checkpoint's scores mean and where they are read: its profile's word, filled in from its config. */
import type { JsonObject } from "../checkpoint/types.ts";
import { readToken } from "../head/read-position.ts";
import { defaultLabels } from "../head/spec.ts";
import type { HeadSpec } from "../head/types.ts";
import { scoreType } from "../prompt/profiles.ts";
import type { Profile } from "../prompt/types.ts";

/** @throws ERR_HEAD where the profile's labels are not as many as the outputs */
export function headMeaning(
  profile: Profile,
  config: JsonObject,
  outputs: number,
): Pick<HeadSpec, "profile" | "type" | "labels" | "read"> {
  const type = scoreType(profile, outputs);
  const labels = profile.labels ?? (type === "attributes" ? configLabels(config, outputs) : null);
  const { reward_token_id: token } = config;
  const followsConfig = readToken(profile.read) !== null && Number.isSafeInteger(token) && (token as number) >= 0;
  return {
    profile: profile.name,
    type,
    labels: defaultLabels(type, outputs, labels),
    read: followsConfig ? `token:${token as number}` : profile.read,
  };
}

/** transformers' `id2label`; null where it does not name every output by a name of its own. */
function configLabels({ id2label }: JsonObject, outputs: number): string[] | null {
  const names = Array.from({ length: outputs }, (_, i) => (id2label as JsonObject | null | undefined)?.[i]);
  const areNames = names.every((name) => typeof name === "string" && name !== "") && new Set(names).size === outputs;
  return areNames ? (names as string[]) : null;
}
