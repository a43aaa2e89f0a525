/** The texts to score: from options, or from a file of JSON lines that is read as it is scored. */
import { open } from "node:fs/promises";
import { ScoreheadError, type ScoreInput } from "../index.ts";
import { UsageError } from "./exit.ts";

/** One input, or why it is none. */
export interface Entry {
  /** Counts inputs from 0; blank lines are none. */
  readonly index: number;
  /** What came with it, `{ id: … }`, or nothing. */
  readonly tag: { readonly id?: unknown };
  readonly content: { readonly input: ScoreInput } | { readonly error: ScoreheadError };
}

export interface InputOptions {
  readonly text?: readonly string[];
  readonly prompt?: string;
  readonly response?: string;
  readonly input?: string;
}

/**
 * Opens what the options name.
 * @returns groups of inputs that can be scored together: those that have arrived, so that a slow writer's lines do not
 *   wait for each other
 * @throws UsageError unless it is exactly one of --text, --prompt with --response, and --input; ERR_NOT_FOUND, ERR_IO
 */
export async function openInputs({
  text,
  prompt,
  response,
  input,
}: InputOptions): Promise<AsyncIterable<readonly Entry[]>> {
  const sources = [text !== undefined, prompt !== undefined || response !== undefined, input !== undefined];
  if (sources.filter(Boolean).length !== 1)
    throw new UsageError("Name the texts by one of --text, --prompt with --response, and --input <file.jsonl or ->.");
  if (text) return entriesOf(text);
  if (input !== undefined) return parseLines(splitLines(await openFile(input)));
  if (prompt === undefined || response === undefined) throw new UsageError("--prompt and --response belong together.");
  return entriesOf([{ prompt, response }]);
}

async function* entriesOf(inputs: readonly ScoreInput[]): AsyncGenerator<readonly Entry[]> {
  yield inputs.map((input, index) => ({ index, tag: {}, content: { input } }));
}

/** Opened before a model is loaded: a misspelt name should not cost the loading time. */
async function openFile(path: string): Promise<AsyncIterable<Buffer>> {
  if (path === "-") return process.stdin;
  const handle = await open(path).catch((error: NodeJS.ErrnoException) => {
    const code = error.code === "ENOENT" ? "ERR_NOT_FOUND" : "ERR_IO";
    throw new ScoreheadError(code, `Cannot read --input ${path}: ${error.message}.`, error);
  });
  return readChunks(handle.createReadStream(), path);
}

async function* readChunks(stream: AsyncIterable<Buffer>, path: string): AsyncGenerator<Buffer> {
  try {
    yield* stream;
  } catch (error) {
    throw new ScoreheadError("ERR_IO", `Cannot read --input ${path}: ${(error as Error).message}.`, error);
  }
}

const LINE_FEED = 0x0a;

/** The lines that each chunk completes, as bytes, so that one that is not UTF-8 spoils only itself. */
async function* splitLines(chunks: AsyncIterable<Buffer>): AsyncGenerator<readonly Buffer[]> {
  let parts: Buffer[] = [];
  for await (const chunk of chunks) {
    const lines: Buffer[] = [];
    let from = 0;
    for (let at = chunk.indexOf(LINE_FEED); at >= 0; at = chunk.indexOf(LINE_FEED, from)) {
      lines.push(Buffer.concat([...parts, chunk.subarray(from, at)]));
      parts = [];
      from = at + 1;
    }
    if (from < chunk.length) parts.push(chunk.subarray(from));
    yield lines;
  }
  if (parts.length > 0) yield [Buffer.concat(parts)];
}

async function* parseLines(groups: AsyncIterable<readonly Buffer[]>): AsyncGenerator<readonly Entry[]> {
  let index = 0;
  let number = 0;
  for await (const lines of groups) {
    const entries: Entry[] = [];
    for (const bytes of lines) {
      number++;
      const entry = parseLine(bytes, index, number);
      if (entry === null) continue;
      entries.push(entry);
      index++;
    }
    yield entries;
  }
}

/** null: the line is blank. */
function parseLine(bytes: Buffer, index: number, number: number): Entry | null {
  let tag: Entry["tag"] = {};
  try {
    const text = decode(bytes, number);
    if (text.trim() === "") return null;
    const { id, ...line } = parseObject(text, number);
    if (id !== undefined) tag = { id };
    return { index, tag, content: { input: toInput(line, number) } };
  } catch (error) {
    if (!(error instanceof ScoreheadError)) throw error;
    return { index, tag, content: { error } };
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

/** What a line may hold, besides "id". */
const SHAPES: readonly (readonly string[])[] = [["text"], ["prompt", "response"], ["messages"], ["tokenIds"]];

/** The shape is checked here, the values where every caller's are. */
function toInput(line: Record<string, unknown>, number: number): ScoreInput {
  const keys = Object.keys(line);
  const shape = SHAPES.find((names) => names.length === keys.length && names.every((name) => keys.includes(name)));
  if (!shape) {
    const found = keys.length === 0 ? "none of them" : keys.map((key) => JSON.stringify(key)).join(", ");
    throw new ScoreheadError(
      "ERR_ARGUMENT",
      `Line ${number} has to hold "text", or "prompt" and "response", or "messages", or "tokenIds", and perhaps "id"; ` +
        `it holds ${found}.`,
    );
  }
  if (shape[0] !== "text") return line as unknown as ScoreInput;
  if (typeof line.text === "string") return line.text;
  throw new ScoreheadError("ERR_ARGUMENT", `Line ${number}: "text" has to be a string.`);
}
