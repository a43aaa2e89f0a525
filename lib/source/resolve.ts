/** What the user named → a .gguf on disk. */
import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import { basename, resolve } from "node:path";
import { convertPlan, planDirectory } from "../convert/run.ts";
import { ioError, ScoreheadError } from "../errors.ts";
import { CHECKPOINT_FILES, contentKey } from "./content-key.ts";
import { CONVERTER_VERSION } from "./converted.ts";
import { resolveHubModel } from "./hub-model.ts";
import { hubModelOf } from "./hub-name.ts";
import { type Making, readyConversion } from "./ready.ts";
import { lentDirectory, tokenizerContent } from "./tokenizer.ts";
import type { HubModel, SourceOptions } from "./types.ts";

/** What a source is; an existing path goes before a name on the hub. */
export type Source =
  | { readonly kind: "file" | "directory"; readonly path: string }
  | { readonly kind: "hub"; readonly model: HubModel };

/** @throws ERR_NOT_FOUND where it is neither, ERR_ARGUMENT (a name with an unknown type), ERR_IO */
export async function findSource(source: string): Promise<Source> {
  const found = await stat(source).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return null;
    throw ioError("open", source, error);
  });
  if (found) return { kind: found.isDirectory() ? "directory" : "file", path: source };
  const model = hubModelOf(source);
  if (model) return { kind: "hub", model };
  throw new ScoreheadError(
    "ERR_NOT_FOUND",
    `There is no ${source}. Name a .gguf file, a checkpoint's directory, or a repository on the hub as owner/name.`,
  );
}

/**
 * The .gguf that `source` means: itself, or the conversion of a checkpoint's directory or of a repository on the hub,
 * which is made once and kept in the cache.
 * @throws ERR_NOT_FOUND, ERR_IO, ERR_ABORTED, and what downloading and converting throw
 */
export async function resolveSource(source: string, options: SourceOptions): Promise<string> {
  const found = await findSource(source);
  if (found.kind === "hub") return resolveHubModel(found.model, options);
  if (found.kind === "directory") return convertedDirectory(resolve(found.path), options);
  return found.path;
}

async function convertedDirectory(directory: string, options: SourceOptions): Promise<string> {
  const { signal, onWarning } = options;
  const tokenizer = await lentDirectory(options);
  // The plan, which reads headers only, tells what of the directory's path goes into the file, and warns every time.
  const plan = await planDirectory(directory, { tokenizer, profile: options.profile, type: "auto" });
  for (const warning of plan.warnings) onWarning?.(warning);
  const { repository, revision } = plan.head.source;
  const contents = [repository, revision, await contentKey(directory, CHECKPOINT_FILES, signal)];
  const ingredients = {
    converter: CONVERTER_VERSION,
    name: basename(directory),
    content: createHash("sha256").update(contents.join("\n")).digest("hex"),
    type: "auto",
    profile: plan.profile.name,
    tokenizer: await tokenizerContent(options),
  } as const;
  const make: Making["make"] = async ({ output }, begin) => {
    await begin(plan.type);
    await convertPlan(plan, output, options);
  };
  return readyConversion(ingredients, { what: directory, revision: null, make }, options);
}
