/** Whether a GGUF file is one to score with. */
import { readBackbone } from "../gguf/backbone.ts";
import type { GgufFile } from "../gguf/types.ts";
import { headFromMetadata } from "../head/metadata.ts";

/** @throws ERR_NO_HEAD, ERR_NEWER_VERSION, ERR_HEAD, ERR_GGUF, ERR_UNSUPPORTED */
export function checkModel(file: GgufFile): void {
  headFromMetadata(file.metadata);
  readBackbone(file);
}
