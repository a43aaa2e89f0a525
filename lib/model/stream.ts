/** Scoring a stream: any number of inputs in bounded memory, results in input order. */
import { unlessAborted } from "../abort.ts";
import { describe } from "../check-options.ts";
import { type ErrorCode, isScoreheadError, ScoreheadError } from "../errors.ts";
import type { ScoreModelOutput } from "../head/output.ts";
import type { Engine } from "./engine.ts";
import type { StreamInput, StreamOptions } from "./options.ts";
import { scoreTexts } from "./pipeline.ts";
import { type PreparedText, prepareTexts } from "./prepare.ts";
import { Slices } from "./slices.ts";
import { type Items, StreamSource } from "./stream-source.ts";

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

/** @throws ERR_ARGUMENT; a text is refused too, as it would be scored letter by letter */
export function checkIterable<Item>(inputs: unknown): Items<Item> {
  const given = typeof inputs === "object" && inputs !== null ? inputs : {};
  if (Symbol.asyncIterator in given || Symbol.iterator in given) return given as Items<Item>;
  throw new ScoreheadError(
    "ERR_ARGUMENT",
    `The inputs have to be an iterable or async iterable, such as an array, not ${describe(inputs)}.`,
  );
}

/**
 * Reads inputs as results are taken: at most a few hundred are on their way, so memory stays bounded and a slow consumer
 * slows the source down. A result that is there does not wait for the source, however slow that is. Leaving the loop
 * stops the work.
 */
export async function* streamScores(
  engine: Engine,
  inputs: Items<StreamInput>,
  options: StreamOptions,
): AsyncGenerator<StreamResult, void, undefined> {
  await prepareTexts(engine, [], options); // an option that does not fit is not the fault of every input
  const stop = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal;
  const source = new StreamSource(inputs);
  const slices = new Slices();
  const queue: InFlight[] = [];
  let bytes = 0;
  try {
    for (let index = 0; ; ) {
      const hasRoom = queue.length < MOST_INPUTS && bytes <= MOST_BYTES;
      // The source goes first: while it has something, the queue stays full.
      const reading = hasRoom ? source.peek() : null;
      const awaited = [reading, queue[0]?.result].filter((promise) => promise != null);
      if (awaited.length === 0) break;
      const arrived = await unlessAborted(
        Promise.race<IteratorResult<StreamInput> | StreamResult>(awaited),
        options.signal,
      );
      if ("index" in arrived) {
        bytes -= (queue.shift() as InFlight).bytes;
        if (arrived.error && ENDING.includes(arrived.error.code)) throw arrived.error;
        yield arrived;
        continue;
      }
      source.take();
      if (arrived.done) continue;
      if (slices.isOver) await slices.pause();
      const started = await startOne(engine, arrived.value, index++, { ...options, signal });
      queue.push(started);
      bytes += started.bytes;
    }
    source.checkFailure();
  } finally {
    stop.abort();
    await source.close();
  }
}

/** These are no input's own: no other one can be scored either. */
const ENDING: readonly string[] = ["ERR_ABORTED", "ERR_CLOSED"] satisfies readonly ErrorCode[];

async function startOne(engine: Engine, input: StreamInput, index: number, options: StreamOptions): Promise<InFlight> {
  if (input instanceof ScoreheadError) return { bytes: 0, result: Promise.resolve({ index, error: input }) };
  try {
    engine.scheduler.checkOpen();
    // Nothing is kept in the prefix cache: each input is followed by the next, which finds it as its predecessor.
    const [text] = (await prepareTexts(engine, [input], options, false)) as [PreparedText];
    const width = options.hiddenStates === "all" ? engine.spec.hiddenSize : options.perToken ? engine.spec.outputs : 0;
    const result = scoreTexts(engine, [text], options).then(
      (output): StreamResult => ({ ...output, index }),
      (error: unknown): StreamResult => failed(index, error),
    );
    result.catch(() => {}); // it is told when its turn comes
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
