/** The texts to score. */
import { ScoreheadError, type ScoreInput } from "../index.ts";
import { UsageError } from "./exit.ts";
import { checkShape, type Entries, entriesOf, openEntries } from "./lines.ts";

export interface InputOptions {
  readonly text?: readonly string[];
  readonly prompt?: string;
  readonly response?: string;
  readonly input?: string;
}

/**
 * Opens what the options name.
 * @throws UsageError unless it is exactly one of --text, --prompt with --response, and --input; ERR_NOT_FOUND, ERR_IO
 */
export async function openInputs({ text, prompt, response, input }: InputOptions): Promise<Entries<ScoreInput>> {
  const sources = [text !== undefined, prompt !== undefined || response !== undefined, input !== undefined];
  if (sources.filter(Boolean).length !== 1)
    throw new UsageError("Name the texts by one of --text, --prompt with --response, and --input <file.jsonl or ->.");
  if (text) return entriesOf<ScoreInput>(text);
  if (input !== undefined) return openEntries(input, toInput);
  if (prompt === undefined || response === undefined) throw new UsageError("--prompt and --response belong together.");
  return entriesOf<ScoreInput>([{ prompt, response }]);
}

/** What a line may hold, besides "id". */
const SHAPES = [["text"], ["prompt", "response"], ["messages"], ["tokenIds"]] as const;

function toInput(line: Record<string, unknown>, number: number): ScoreInput {
  checkShape(line, number, SHAPES, '"text", or "prompt" and "response", or "messages", or "tokenIds"');
  if (!("text" in line)) return line as unknown as ScoreInput;
  if (typeof line.text === "string") return line.text;
  throw new ScoreheadError("ERR_ARGUMENT", `Line ${number}: "text" has to be a string.`);
}
