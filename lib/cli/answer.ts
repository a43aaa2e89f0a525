/** From inputs to answers: in order, each as soon as it is there, with errors in place and progress on stderr. */
import type { ScoreheadError, ScoreModel } from "../index.ts";
import { say } from "./exit.ts";
import type { Entries, Entry } from "./lines.ts";
import { describeAnswering, ProgressLine } from "./progress.ts";
import { writePieces } from "./stdout.ts";

/** What comes back for an input. */
interface Answer {
  readonly error?: ScoreheadError | undefined;
}

/** Writes a line on stderr without disturbing the progress line. */
export type Say = (text: string) => void;

export interface Answering<Content, Result extends Answer> {
  readonly model: ScoreModel;
  readonly entries: Entries<Content>;
  /** Whether they come from --input. */
  readonly isFile: boolean;
  readonly json: boolean;
  readonly answer: (contents: AsyncIterable<Content | ScoreheadError>) => AsyncIterable<Result>;
  readonly print: (entry: Entry<Content>, result: Extract<Result, { error?: undefined }>, say: Say) => Promise<void>;
}

/** Answers every input. Returns how many could not be answered, after saying so. */
export async function answerAll<Content, Result extends Answer>({
  model,
  entries,
  isFile,
  json,
  answer,
  print,
}: Answering<Content, Result>): Promise<number> {
  const line = new ProgressLine();
  const started = performance.now();
  /** Read, and not answered yet. */
  const open: Entry<Content>[] = [];
  const contents = async function* (): AsyncGenerator<Content | ScoreheadError> {
    for await (const entry of entries) {
      open.push(entry);
      yield entry.content;
    }
  };
  const tell: Say = (text) => line.say(text);
  const shown = isFile && (line.isTerminal ? !process.stdout.isTTY : entries.size !== null);
  let failed = 0;
  try {
    for await (const result of answer(contents())) {
      const entry = open.shift() as Entry<Content>;
      if (!result.error) await print(entry, result as Extract<Result, { error?: undefined }>, tell);
      else {
        failed++;
        await printError(entry, result.error, json, tell);
      }
      if (!shown) continue;
      const done = { count: entry.index + 1, bytes: entry.end, size: entries.size };
      line.update(() => describeAnswering(done, (performance.now() - started) / 1000, model.stats()));
    }
  } finally {
    line.end();
  }
  if (failed > 0) say(`${failed} of the inputs failed.`);
  return failed;
}

async function printError<Content>(
  { index, tag }: Entry<Content>,
  { code, message }: ScoreheadError,
  json: boolean,
  tell: Say,
): Promise<void> {
  if (json) await writePieces([`${JSON.stringify({ index, ...tag, error: { code, message } })}\n`]);
  else tell(`input ${index}: ${message} (${code})`);
}
