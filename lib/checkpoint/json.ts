/** Reading the JSON files of a checkpoint: strict UTF-8, bounded size, an object at the top. */
import { readFile, stat } from "node:fs/promises";
import { type ErrorCode, ioError, ScoreheadError } from "../errors.ts";
import type { JsonObject } from "./types.ts";

/** The largest known tokenizer.json has 34 MB; V8 cannot hold a string above 512 MB. */
const MAX_JSON_BYTES = 256 * 1024 * 1024;

/** Headers and indices nest three deep. */
const MAX_DEPTH = 8;

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

/**
 * Throws where an object in `text`, which must be valid JSON, sets one key twice. JSON.parse keeps the last silently,
 * and a tensor described twice has no right answer.
 */
export function requireUniqueKeys(text: string, fail: Fail): void {
  const open: Set<string>[] = [];
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (character === "{") {
      open.push(new Set());
      if (open.length > MAX_DEPTH) throw fail(`its objects nest more than ${MAX_DEPTH} deep`);
    } else if (character === "}") {
      open.pop();
    } else if (character === '"') {
      const end = stringEnd(text, at);
      if (isKey(text, end)) {
        const key = JSON.parse(text.slice(at, end)) as string;
        const keys = open.at(-1);
        if (keys?.has(key)) throw fail(`it lists ${key} twice`);
        keys?.add(key);
      }
      at = end - 1;
    }
  }
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
