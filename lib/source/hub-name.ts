/** `owner/name[@revision][:type]` → what is asked of the hub. */
import { OUTPUT_TYPES } from "../convert/file-type.ts";
import type { OutputType } from "../convert/types.ts";
import { ScoreheadError } from "../errors.ts";
import { parseHubName } from "../hub/name.ts";
import type { HubModel } from "./types.ts";

/** A 7B model then takes 7 GB, and its scores stay within about a percent. */
export const HUB_TYPE: OutputType = "q8_0";

/**
 * The model on the hub that a text names, or null where it does not have that form. A file's name has it too: what
 * exists on disk goes first.
 * @throws ERR_ARGUMENT for an unknown type
 */
export function hubModelOf(text: string): HubModel | null {
  const name = parseHubName(text);
  // A .gguf that is not there is a slip of the keyboard, not a repository.
  if (!name || /\.gguf$/i.test(text)) return null;
  const { repository, revision, type } = name;
  return { repository, revision, asked: type === null ? null : checkedType(type, text) };
}

function checkedType(word: string, text: string): OutputType {
  const type = OUTPUT_TYPES.find((known) => known === word.toLowerCase());
  if (type) return type;
  throw new ScoreheadError(
    "ERR_ARGUMENT",
    `${text} asks for the type "${word}", which is not one of ${OUTPUT_TYPES.join(", ")}.`,
  );
}
