/** Inputs of a command: from options, or from a file of JSON lines that is read as it is answered. */
import { open } from "node:fs/promises";
import { ScoreheadError } from "../index.ts";

/** One input, or why it is none. */
export interface Entry<Content> {
  /** Counts inputs from 0; blank lines are none. */
  readonly index: number;
  /** What came with it, `{ id: … }`, or nothing. */
  readonly tag: { readonly id?: unknown };
  readonly content: Content | ScoreheadError;
  /** Bytes of the file up to its line's end; 0 where it comes from options. */
  readonly end: number;
}

export interface Entries<Content> extends AsyncIterable<Entry<Content>> {
  /** Bytes of the file that they come from; null: there is none, or nobody knows where it ends. */
  readonly size: number | null;
}

/** What a line is, besides "id"; `number` counts lines from 1. */
export type ReadLine<Content> = (line: Record<string, unknown>, number: number) => Content;

/** Inputs that the options hold. */
export function entriesOf<Content>(contents: readonly Content[]): Entries<Content> {
  const entries = contents.map((content, index) => ({ index, tag: {}, content, end: 0 }));
  return {
    size: null,
    async *[Symbol.asyncIterator]() {
      yield* entries;
    },
  };
}

/**
 * The lines of a file, or of stdin for `-`. A line that is none is an entry with its error.
 *
 * Opened before a model is loaded: a misspelt name should not cost the loading time.
 * @throws ERR_NOT_FOUND, ERR_IO
 */
export async function openEntries<Content>(path: string, read: ReadLine<Content>): Promise<Entries<Content>> {
  if (path === "-") return { size: null, [Symbol.asyncIterator]: () => parseLines(process.stdin, read) };
  const failed = (error: NodeJS.ErrnoException): never => {
    const code = error.code === "ENOENT" ? "ERR_NOT_FOUND" : "ERR_IO";
    throw new ScoreheadError(code, `Cannot read --input ${path}: ${error.message}.`, error);
  };
  const handle = await open(path).catch(failed);
  const stats = await handle.stat().catch(failed);
  const chunks = async function* () {
    try {
      yield* handle.createReadStream();
    } catch (error) {
      failed(error as NodeJS.ErrnoException);
    }
  };
  return { size: stats.isFile() ? stats.size : null, [Symbol.asyncIterator]: () => parseLines(chunks(), read) };
}

async function* parseLines<Content>(
  chunks: AsyncIterable<Buffer>,
  read: ReadLine<Content>,
): AsyncGenerator<Entry<Content>> {
  let index = 0;
  let number = 0;
  let end = 0;
  for await (const bytes of splitLines(chunks)) {
    number++;
    end += bytes.length + 1;
    const entry = parseLine(bytes, number, read);
    if (entry !== null) yield { index: index++, end, ...entry };
  }
}

const LINE_FEED = 0x0a;

/** Lines as bytes, so that one that is not UTF-8 spoils only itself. */
async function* splitLines(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let parts: Buffer[] = [];
  for await (const chunk of chunks) {
    let from = 0;
    for (let at = chunk.indexOf(LINE_FEED); at >= 0; at = chunk.indexOf(LINE_FEED, from)) {
      yield Buffer.concat([...parts, chunk.subarray(from, at)]);
      parts = [];
      from = at + 1;
    }
    if (from < chunk.length) parts.push(chunk.subarray(from));
  }
  if (parts.length > 0) yield Buffer.concat(parts);
}

/** null: the line is blank. */
function parseLine<Content>(
  bytes: Buffer,
  number: number,
  read: ReadLine<Content>,
): Pick<Entry<Content>, "tag" | "content"> | null {
  let tag: Entry<Content>["tag"] = {};
  try {
    const text = decode(bytes, number);
    if (text.trim() === "") return null;
    const { id, ...line } = parseObject(text, number);
    if (id !== undefined) tag = { id };
    return { tag, content: read(line, number) };
  } catch (error) {
    if (!(error instanceof ScoreheadError)) throw error;
    return { tag, content: error };
  }
}

function decode(bytes: Buffer, number: number): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new ScoreheadError("ERR_TEXT", `Line ${number} is not UTF-8.`, cause);
  }
}

function parseObject(text: string, number: number): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new ScoreheadError("ERR_ARGUMENT", `Line ${number} is not JSON: ${(cause as Error).message}.`, cause);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new ScoreheadError("ERR_ARGUMENT", `Line ${number} is not a JSON object.`);
  return value as Record<string, unknown>;
}

/**
 * Checks which keys a line holds; the values are checked where every caller's are.
 * @param shapes the sets of keys that it may hold; `wanted` says so in words
 */
export function checkShape(
  line: Record<string, unknown>,
  number: number,
  shapes: readonly (readonly string[])[],
  wanted: string,
): void {
  const keys = Object.keys(line);
  if (shapes.some((names) => names.length === keys.length && names.every((name) => keys.includes(name)))) return;
  const found = keys.length === 0 ? "none of them" : keys.map((key) => JSON.stringify(key)).join(", ");
  throw new ScoreheadError(
    "ERR_ARGUMENT",
    `Line ${number} has to hold ${wanted}, and perhaps "id"; it holds ${found}.`,
  );
}
