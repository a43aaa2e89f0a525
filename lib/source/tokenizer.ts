/** What `--tokenizer` means: a directory, or a repository on the hub. */
import { stat } from "node:fs/promises";
import { checkPath } from "../check-options.ts";
import { ScoreheadError } from "../errors.ts";
import { pull } from "../hub/pull.ts";
import { findRevision } from "../hub/revision.ts";
import { openSnapshot } from "../hub/snapshot.ts";
import type { Revision } from "../hub/types.ts";
import { contentKey, TOKENIZER_FILES } from "./content-key.ts";
import { hubModelOf } from "./hub-name.ts";
import type { SourceOptions } from "./types.ts";

/** The directory itself, or where the repository's tokenizer and config are, downloaded where they are missing. */
export async function tokenizerDirectory(source: string, options: SourceOptions): Promise<string> {
  checkPath(source, "The tokenizer");
  if (await exists(source)) return source;
  const revision = await tokenizerRevision(source, options);
  const snapshot = await openSnapshot(revision, { ...options, files: "tokenizer" });
  return pull(snapshot, { ...options, onProgress: undefined });
}

/** {@link tokenizerDirectory} of the option, where it is given. */
export async function lentDirectory(options: SourceOptions): Promise<string | undefined> {
  return options.tokenizer === undefined ? undefined : tokenizerDirectory(options.tokenizer, options);
}

/** What the tokenizer is, as one text: "" where none was named, a hash of the directory's files, or a commit. */
export async function tokenizerContent({ tokenizer, ...options }: SourceOptions): Promise<string> {
  if (tokenizer === undefined) return "";
  if (await exists(tokenizer)) return contentKey(tokenizer, TOKENIZER_FILES, options.signal);
  const { repository, commit } = await tokenizerRevision(tokenizer, options);
  return `${repository}@${commit}`;
}

/** @throws ERR_ARGUMENT where `tokenizer` is given for a file */
export function refuseTokenizer(file: string, tokenizer: string | undefined): void {
  if (tokenizer === undefined) return;
  throw new ScoreheadError(
    "ERR_ARGUMENT",
    `"tokenizer" is for checkpoints, and ${file} is a GGUF file, which has its tokenizer inside. Leave it out.`,
  );
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null)) !== null;
}

async function tokenizerRevision(source: string, options: SourceOptions): Promise<Revision> {
  const model = hubModelOf(source);
  if (model) return findRevision(model, options);
  throw new ScoreheadError(
    "ERR_NOT_FOUND",
    `There is no ${source}. Name the directory of the base model, or its repository on the hub as owner/name.`,
  );
}
