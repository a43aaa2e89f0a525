/** Which repository lends its tokenizer and config to checkpoints that have none. */
import { profileByName } from "../prompt/choose.ts";
import { findProfile } from "../prompt/profiles.ts";

/**
 * `owner/name` of the base model, or null where the profile has none or is unknown.
 * @param repository whose name tells the profile, where the user does not
 */
export function baseModel(repository: string, profileName: string | undefined): string | null {
  const profile = profileName === undefined ? profileByName(repository) : findProfile(profileName);
  return profile?.base ?? null;
}
