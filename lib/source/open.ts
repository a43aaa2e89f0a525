/** What the user named → a GGUF file that llama.cpp opens, with the head and the tokenizer to score with. */
import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { attach } from "../attach/attach.ts";
import { opensWithClassifier } from "../attach/classifier.ts";
import { type HeadOptions, openScorable, type Scorable } from "../attach/scorable.ts";
import { refuseTokenizer, requireUsableInPlace } from "../attach/tokenizer.ts";
import { makeCacheDirectory } from "../cache-directory.ts";
import { ioError } from "../errors.ts";
import { readGguf } from "../gguf/read.ts";
import type { GgufFile } from "../gguf/types.ts";
import { CHECKPOINT_FILES, contentKey, TOKENIZER_FILES } from "./content-key.ts";
import { resolveSource } from "./resolve.ts";
import { lentDirectory } from "./tokenizer.ts";
import type { SourceOptions } from "./types.ts";

/** Goes up when the same file and head give another copy. */
const COPY_VERSION = 1;

/**
 * Opens a model with its head, or the one that the options name.
 * @throws what resolving a source, reading a GGUF file and attaching a head throw
 */
export async function openSource(
  source: string,
  options: SourceOptions & Omit<HeadOptions, "read">,
): Promise<Scorable> {
  const path = await resolveSource(source, options);
  const { head, profile, type, labels } = options;
  const file = await readGguf(path);
  // A checkpoint's conversion has the tokenizer in it.
  const isGiven = path === source;
  if (isGiven) refuseTokenizer(file, options.tokenizer);
  const tokenizer = isGiven ? await lentDirectory(options) : undefined;
  const wanted = { head, tokenizer, profile, type, labels };
  if (!opensWithClassifier(file)) return openCopy(file, wanted, options);
  const scorable = await openScorable(file, wanted);
  if (tokenizer !== undefined) requireUsableInPlace(file, scorable.tokenizer.rules);
  return scorable;
}

/** llama.cpp refuses the classifier's tensors: a copy without them, its head attached, is made once and kept in the cache. */
async function openCopy(file: GgufFile, wanted: HeadOptions, { onProgress, signal }: SourceOptions): Promise<Scorable> {
  const parts = [
    COPY_VERSION,
    JSON.stringify({ profile: wanted.profile, type: wanted.type, labels: wanted.labels }),
    await pathKey(file.path, CHECKPOINT_FILES, signal),
    wanted.head === undefined ? "" : await pathKey(wanted.head, CHECKPOINT_FILES, signal),
    wanted.tokenizer === undefined ? "" : await pathKey(wanted.tokenizer, TOKENIZER_FILES, signal),
  ];
  const key = createHash("sha256").update(parts.join("\n")).digest("hex").slice(0, 16);
  const path = join(await makeCacheDirectory("attached"), `${basename(file.path, ".gguf")}.${key}.gguf`);
  const { warnings } = await openScorable(file, wanted);
  if (!(await stat(path).catch(() => null))) await attach(file.path, path, { ...wanted, onProgress, signal });
  const copy = await openScorable(await readGguf(path), {});
  const why = `llama.cpp opens no ${copy.backbone.architecture} model with a classifier in it: a copy without it is used, ${path}.`;
  return { ...copy, isAttached: true, warnings: [...warnings, why] };
}

/** The content of a file, or of a directory's files of the names in `relevant`. */
async function pathKey(path: string, relevant: RegExp, signal: AbortSignal | undefined): Promise<string> {
  const found = await stat(path).catch((error: unknown) => {
    throw ioError("open", path, error);
  });
  if (found.isDirectory()) return contentKey(path, relevant, signal);
  const name = basename(path).replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  return contentKey(dirname(path), new RegExp(`^${name}$`), signal);
}
