/** Scoring a stream: any number of inputs in bounded memory, results in input order. */
import { isScoreheadError, type ScoreheadError } from "../errors.ts";
import type { ScoreModelOutput } from "../head/output.ts";
import type { Engine } from "./engine.ts";
import type { ScoreInput, ScoreOptions } from "./options.ts";
import { scoreTexts } from "./pipeline.ts";
import { prepareText } from "./prepare.ts";

/** One input's result: an output of one row, or why it could not be scored. */
export type StreamResult =
  | (ScoreModelOutput & { readonly index: number; readonly error?: undefined })
  | { readonly index: number; readonly error: ScoreheadError };

/** Inputs on their way at once: enough to find what they share and to keep a GPU's micro-batches full. */
const MOST_INPUTS = 512;
/** What their outputs may take meanwhile: every hidden state of a long text is tens of megabytes. */
const MOST_BYTES = 256 * 1024 * 1024;

interface InFlight {
  readonly bytes: number;
  readonly result: Promise<StreamResult>;
}

/**
 * Reads inputs as results are taken: at most a few hundred are on their way, so memory stays bounded and a slow consumer
 * slows the source down. Leaving the loop stops the work.
 */
export async function* streamScores(
  engine: Engine,
  inputs: AsyncIterable<ScoreInput> | Iterable<ScoreInput>,
  options: ScoreOptions,
): AsyncGenerator<StreamResult, void, undefined> {
  const stop = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal;
  const queue: InFlight[] = [];
  let bytes = 0;
  let index = 0;
  const take = async (): Promise<StreamResult> => {
    const first = queue.shift() as InFlight;
    bytes -= first.bytes;
    return first.result;
  };
  try {
    for await (const input of inputs) {
      const started = startOne(engine, input, index++, { ...options, signal });
      queue.push(started);
      bytes += started.bytes;
      while (queue.length >= MOST_INPUTS || bytes > MOST_BYTES) yield await take();
    }
    while (queue.length > 0) yield await take();
  } finally {
    stop.abort();
  }
}

function startOne(engine: Engine, input: ScoreInput, index: number, options: ScoreOptions): InFlight {
  try {
    // Nothing is kept in the prefix cache: each input is followed by the next, which finds it as its predecessor.
    const text = prepareText(engine, input, options, false);
    const width = options.hiddenStates === "all" ? engine.spec.hiddenSize : options.perToken ? engine.spec.outputs : 0;
    const result = scoreTexts(engine, [text], options).then(
      (output): StreamResult => ({ ...output, index }),
      (error: unknown): StreamResult => failed(index, error),
    );
    return { bytes: 4 * width * text.row.tokens.length, result };
  } catch (error) {
    return { bytes: 0, result: Promise.resolve(failed(index, error)) };
  }
}

/** An input's own error; what is not ours goes on as it is. */
function failed(index: number, error: unknown): StreamResult {
  if (!isScoreheadError(error)) throw error;
  return { index, error };
}
