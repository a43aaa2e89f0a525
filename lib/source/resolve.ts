/** What the user named → a .gguf on disk. */
import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { makeCacheDirectory } from "../cache-directory.ts";
import { type ConvertProgress, convert, planCheckpoint } from "../convert/run.ts";
import { ioError, ScoreheadError } from "../errors.ts";
import { CHECKPOINT_FILES, contentKey, TOKENIZER_FILES } from "./content-key.ts";

/** Goes up when the same checkpoint converts to another file, so that files of older versions are not reused. */
const CONVERTER_VERSION = 2;

export interface SourceOptions {
  readonly tokenizer?: string | undefined;
  readonly profile?: string | undefined;
  readonly onWarning?: ((message: string) => void) | undefined;
  readonly onProgress?: ((progress: ConvertProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The .gguf that `source` means: itself, or a checkpoint directory's conversion, which is made once and kept in the
 * cache under the directory's content.
 * @throws ERR_ARGUMENT where `tokenizer` goes with a .gguf, which has its own; ERR_NOT_FOUND, ERR_IO,
 *   ERR_ABORTED, and what converting throws
 */
export async function resolveSource(source: string, options: SourceOptions): Promise<string> {
  const found = await stat(source).catch((error: unknown) => {
    throw (error as NodeJS.ErrnoException).code === "ENOENT" ? notFound(source) : ioError("open", source, error);
  });
  if (found.isDirectory()) return convertedFile(resolve(source), options);
  refuseTokenizer(source, options.tokenizer);
  return source;
}

/** @throws ERR_ARGUMENT where `tokenizer` is given for a file */
export function refuseTokenizer(file: string, tokenizer: string | undefined): void {
  if (tokenizer === undefined) return;
  throw new ScoreheadError(
    "ERR_ARGUMENT",
    `"tokenizer" is for a checkpoint's directory, and ${file} is a file, which has its tokenizer inside. Leave it out.`,
  );
}

function notFound(source: string): ScoreheadError {
  return new ScoreheadError(
    "ERR_NOT_FOUND",
    `There is no ${source}. Name a .gguf file or a checkpoint's directory; to get one, download the repository first.`,
  );
}

async function convertedFile(
  directory: string,
  { tokenizer, profile, onWarning, onProgress, signal }: SourceOptions,
): Promise<string> {
  // The plan, which reads headers only, tells what of the directory's path goes into the file, and warns every time.
  const { profile: chosen, head, warnings } = await planCheckpoint(directory, { tokenizer, profile });
  for (const warning of warnings) onWarning?.(warning);
  const { repository, revision } = head.source;
  const parts = [
    CONVERTER_VERSION,
    chosen.name,
    repository,
    revision,
    await contentKey(directory, CHECKPOINT_FILES, signal),
    tokenizer === undefined ? "" : await contentKey(tokenizer, TOKENIZER_FILES, signal),
  ];
  const key = createHash("sha256").update(parts.join("\n")).digest("hex").slice(0, 16);
  const folder = await makeCacheDirectory("converted");
  const path = join(folder, `${basename(directory)}.${key}.gguf`);
  if (await stat(path).catch(() => null)) return path;
  await convert(directory, path, { tokenizer, profile, onProgress, signal });
  return path;
}
