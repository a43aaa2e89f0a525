/** Which of a repository's files are needed: never code, never the same weights twice. Pure, the index's reader injected. */
import { chooseWeights, SETTINGS_FILES, WEIGHT_NAMES } from "../checkpoint-files.ts";
import { ScoreheadError } from "../errors.ts";
import { requirePlainPath } from "./path.ts";
import type { HubFile, Snapshot } from "./types.ts";

/** What is known of a commit's files, by path. */
export type Listing = ReadonlyMap<string, Pick<HubFile, "size" | "etag">>;

export interface Wanted {
  /** `tokenizer`: config and tokenizer only, of a base model. Default `model`. */
  readonly files?: "model" | "tokenizer" | undefined;
  /** The word by which one of several GGUF files is chosen, e.g. `q4_k_m`. */
  readonly type?: string | null | undefined;
}

type Choice = Pick<Snapshot, "files" | "kind">;

/** Which of several GGUF files is meant where no type was named. */
const DEFAULT_TYPE = "q8_0";
/** An index is a line a tensor. */
const MOST_INDEX_BYTES = 64 * 1024 * 1024;

/**
 * The files that are needed.
 * @param where the repository, for messages
 * @param readIndex the text of an index of shards
 * @throws ERR_CHECKPOINT (nothing that could be used, or several files that could be meant), ERR_HUB (unsafe names)
 */
export async function chooseFiles(
  listing: Listing,
  where: string,
  { files: kind, type }: Wanted,
  readIndex: (file: HubFile) => Promise<string>,
): Promise<Choice> {
  const file = (path: string, weights: boolean): HubFile => {
    const found = listing.get(path);
    if (!found) throw new ScoreheadError("ERR_CHECKPOINT", `${where} has no file ${path}, which its index names.`);
    requirePlainPath(path, where);
    return { path, weights, ...found };
  };
  const settings = SETTINGS_FILES.filter((name) => listing.has(name)).map((name) => file(name, false));
  if (kind === "tokenizer") return { kind: null, files: settings };
  const topLevel = [...listing.keys()].filter((path) => !path.includes("/"));
  const weights = chooseWeights(topLevel, where);
  if (!weights) return { kind: "gguf", files: [file(chooseGguf([...listing.keys()], where, type), true)] };
  const first = file(weights.name, weights.kind === "single");
  if (weights.kind === "single") return { kind: weights.format, files: [...settings, first] };
  if (first.size > MOST_INDEX_BYTES) throw badIndex(where, first, `it has ${first.size} bytes`);
  const shards = shardsOf(await readIndex(first), (problem) => badIndex(where, first, problem));
  return { kind: weights.format, files: [...settings, first, ...shards.map((path) => file(path, true))] };
}

/** The GGUF file that carries `type` in its name; without a type the only one, or that of the default type. */
function chooseGguf(paths: readonly string[], where: string, type: string | null | undefined): string {
  const all = paths.filter((path) => /\.gguf$/i.test(path)).sort();
  if (all.length === 0)
    throw new ScoreheadError("ERR_CHECKPOINT", `${where} has no weights. Looked for ${WEIGHT_NAMES}, *.gguf.`);
  const ofType = (word: string): string[] => all.filter((path) => hasWord(path, word));
  const possible = type ? ofType(type) : all.length === 1 ? all : ofType(DEFAULT_TYPE);
  const [path] = possible;
  if (path !== undefined && possible.length === 1) return path;
  const example = /(?:^|[^a-z0-9])((?:iq|q|bf|f)\d[a-z0-9_]*)\.gguf$/i.exec(all[0] ?? "")?.[1] ?? DEFAULT_TYPE;
  throw new ScoreheadError(
    "ERR_CHECKPOINT",
    `${where} has ${possible.length === 0 ? "no GGUF file" : "several GGUF files"} of the type ${type || DEFAULT_TYPE}; it has ${all.join(", ")}. Name one by its type, like owner/name:${example.toLowerCase()}.`,
  );
}

/** Whether a path has `word` between others: `q4_k` is not in "model.Q4_K_M.gguf". */
function hasWord(path: string, word: string): boolean {
  const literal = word.replace(/[^\w]/g, "\\$&");
  return new RegExp(`(?:^|[^a-z0-9])${literal}(?![a-z0-9_])`, "i").test(path);
}

/** The shards that an index names, in order of their names. */
function shardsOf(text: string, fail: (problem: string) => ScoreheadError): string[] {
  let index: { readonly weight_map?: unknown } | null;
  try {
    index = JSON.parse(text);
  } catch (cause) {
    throw fail((cause as Error).message);
  }
  const map = index?.weight_map;
  if (typeof map !== "object" || map === null) throw fail("it has no weight_map");
  const shards = Object.values(map);
  if (shards.length === 0 || !shards.every((shard) => typeof shard === "string"))
    throw fail("its weight_map is empty or not one of names");
  return [...new Set(shards)].sort();
}

function badIndex(where: string, { path }: HubFile, problem: string): ScoreheadError {
  return new ScoreheadError("ERR_CHECKPOINT", `${path} of ${where} is not a usable index: ${problem}.`);
}
