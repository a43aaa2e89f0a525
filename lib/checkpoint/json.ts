/** Reading the JSON files of a checkpoint: strict UTF-8, bounded size, an object at the top. */
import { readFile, stat } from "node:fs/promises";
import { type ErrorCode, ioError, ScoreheadError } from "../errors.ts";
import type { JsonObject } from "./types.ts";

/** The largest known tokenizer.json has 34 MB; V8 cannot hold a string above 512 MB. */
const MAX_JSON_BYTES = 256 * 1024 * 1024;

/** Tokenizers nest seven deep. Far beyond that, code that walks the value by recursion would run out of stack. */
const MAX_DEPTH = 64;

/** Makes the error for a problem, which is a clause without a full stop. */
export type Fail = (problem: string, cause?: unknown) => ScoreheadError;

/** Whether `value` is a JSON object, not an array. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Parses `bytes` as one JSON object; `fail` makes the error. */
export function parseJsonObject(bytes: Uint8Array, fail: Fail): { text: string; value: JsonObject } {
  let text: string;
  let value: unknown;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    value = JSON.parse(text);
  } catch (cause) {
    throw fail(`it is not JSON (${(cause as Error).message})`, cause);
  }
  if (!isObject(value)) throw fail("it is JSON, but not an object");
  requireShallow(text, fail);
  return { text, value };
}

/** The JSON object in the file at `path`, or null where there is no such file. Malformed: `code`. */
export async function readJsonIfPresent(path: string, code: ErrorCode): Promise<JsonObject | null> {
  const fail: Fail = (problem, cause) =>
    new ScoreheadError(code, `${path} cannot be read: ${problem}. Download it again.`, cause);
  try {
    const { size } = await stat(path);
    if (size > MAX_JSON_BYTES) throw fail(`it has ${size} bytes, more than ${MAX_JSON_BYTES}`);
    return parseJsonObject(await readFile(path), fail).value;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw ioError("read", path, cause);
  }
}

/** Throws where `text`, which must be valid JSON, nests too deep. */
function requireShallow(text: string, fail: Fail): void {
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (character === '"') at = stringEnd(text, at) - 1;
    else if (character === "{" || character === "[") depth++;
    else if (character === "}" || character === "]") depth--;
    if (depth > MAX_DEPTH) throw fail(`it nests more than ${MAX_DEPTH} deep`);
  }
}

/**
 * Throws where an object in `text`, which must be valid JSON, sets one key twice. JSON.parse keeps the last silently,
 * and a tensor described twice has no right answer.
 */
export function requireUniqueKeys(text: string, fail: Fail): void {
  const open: Set<string>[] = [];
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (character === "{") open.push(new Set());
    else if (character === "}") open.pop();
    else if (character === '"') {
      const end = stringEnd(text, at);
      if (isKey(text, end)) addKey(open.at(-1), JSON.parse(text.slice(at, end)) as string, fail);
      at = end - 1;
    }
  }
}

function addKey(keys: Set<string> | undefined, key: string, fail: Fail): void {
  if (keys?.has(key)) throw fail(`it lists ${key} twice`);
  keys?.add(key);
}

/** The offset after the closing quote of the string that starts at `start`. */
function stringEnd(text: string, start: number): number {
  let at = start + 1;
  while (text[at] !== '"') at += text[at] === "\\" ? 2 : 1;
  return at + 1;
}

function isKey(text: string, after: number): boolean {
  let at = after;
  while (text[at] === " " || text[at] === "\n" || text[at] === "\r" || text[at] === "\t") at++;
  return text[at] === ":";
}
