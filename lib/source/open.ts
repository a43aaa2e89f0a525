/** What the user named → a GGUF file that llama.cpp opens, with the head and the tokenizer to score with. */
import { createHash } from "node:crypto";
import { basename, resolve } from "node:path";
import { attach } from "../attach/attach.ts";
import { opensWithClassifier } from "../attach/classifier.ts";
import { type HeadOptions, openScorable, type Scorable } from "../attach/scorable.ts";
import { refuseTokenizer, requireUsableInPlace } from "../attach/tokenizer.ts";
import { fileTypeOf } from "../convert/file-type.ts";
import { readGguf } from "../gguf/read.ts";
import type { GgufFile } from "../gguf/types.ts";
import { CHECKPOINT_FILES, pathKey, TOKENIZER_FILES } from "./content-key.ts";
import { CONVERTER_VERSION } from "./converted.ts";
import { type Making, readyConversion } from "./ready.ts";
import { resolveSource } from "./resolve.ts";
import { lentDirectory } from "./tokenizer.ts";
import type { SourceOptions } from "./types.ts";

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
async function openCopy(file: GgufFile, wanted: HeadOptions, options: SourceOptions): Promise<Scorable> {
  const { warnings } = await openScorable(file, wanted);
  const path = await copyOf(file, wanted, options);
  const copy = await openScorable(await readGguf(path), {});
  const why = `llama.cpp opens no ${copy.backbone.architecture} model with a classifier in it: a copy without it is used, ${path}.`;
  return { ...copy, isAttached: true, warnings: [...warnings, why] };
}

async function copyOf(file: GgufFile, wanted: HeadOptions, options: SourceOptions): Promise<string> {
  const { head, tokenizer, profile, type, labels } = wanted;
  const { signal, onProgress } = options;
  const sources = await Promise.all(
    [file.path, ...(head === undefined ? [] : [head])].map(async (source) => {
      const path = resolve(source);
      return { path, content: await pathKey(path, CHECKPOINT_FILES, signal) };
    }),
  );
  const ingredients = {
    converter: CONVERTER_VERSION,
    name: basename(file.path, ".gguf"),
    content: createHash("sha256")
      .update(JSON.stringify([sources, type, labels]))
      .digest("hex"),
    type: "auto",
    profile: profile ?? "",
    tokenizer: tokenizer === undefined ? "" : await pathKey(tokenizer, TOKENIZER_FILES, signal),
  } as const;
  const make: Making["make"] = async ({ output }, begin) => {
    await begin(fileTypeOf(file.metadata) ?? "unknown");
    await attach(file.path, output, { ...wanted, onProgress, signal });
  };
  return readyConversion(ingredients, { what: file.path, revision: null, sources, make }, options);
}
