/** Every model family that is known, by the word for `--profile`. */
import type { ScoreType } from "../head/types.ts";
import { CARD_PROFILES } from "./card-profiles.ts";
import { CHAT_PROFILES } from "./chat-profiles.ts";
import type { Profile } from "./types.ts";

/** Every profile, in the order in which messages list them. */
export const PROFILES: readonly Profile[] = [...CARD_PROFILES, ...CHAT_PROFILES];

/** The names of {@link PROFILES} as a list for messages. */
export const PROFILE_NAMES: string = PROFILES.map(({ name }) => name).join(", ");

/** The profile called `name` exactly, or null. */
export function findProfile(name: string): Profile | null {
  return PROFILES.find((profile) => profile.name === name) ?? null;
}

/** What the scores of a head with so many outputs mean. */
export function scoreType({ type }: Pick<Profile, "type">, outputs: number): ScoreType {
  return type ?? (outputs === 1 ? "reward" : "attributes");
}
