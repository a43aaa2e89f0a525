/** One queue a model: the rows of all calls, merged into common micro-batches, one micro-batch in flight. */
import { checkAborted, unlessAborted } from "../abort.ts";
import { Planner } from "../batch/planner.ts";
import type { BatchLimits, Row } from "../batch/types.ts";
import { ScoreheadError } from "../errors.ts";
import type { NativeBatch, NativeBatchResult } from "../runtime/contract.ts";
import type { Collector } from "./collector.ts";
import { NonFiniteOutput } from "./non-finite.ts";
import { Slices } from "./slices.ts";

/** What a model has been asked for and has computed since it was loaded. */
export interface SchedulerStats {
  /** Tokens of all texts that were asked for. */
  readonly tokensAsked: number;
  /** Tokens that were computed; the card reading adds two a text. */
  readonly tokensComputed: number;
  /** Tokens that another text, or an earlier call, had computed already. */
  readonly tokensReused: number;
  readonly batches: number;
  /** Milliseconds spent computing. */
  readonly milliseconds: number;
}

/** A call's rows on their way. */
interface Call {
  /** Not handed to the planner yet; the next one is the last. */
  pending: Row[];
  readonly inFlight: Set<Row>;
  readonly total: number;
  finished: number;
  /** Computed without other calls: it was there when a micro-batch failed, and may be why. */
  alone: boolean;
  readonly onProgress: ((done: number, total: number) => void) | undefined;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** A window's rows are computed before a later call's: about this long, so that nobody waits much longer. */
const WINDOW_SECONDS = 4;
/** Tokens of a window, and of a call's turn: enough to fill micro-batches and to find what rows share. */
const TURN_TOKENS = 1024;
const MOST_WINDOW = 16_384;

export type Decode = (batch: NativeBatch) => Promise<NativeBatchResult>;

export class Scheduler {
  readonly #decode: Decode;
  readonly #collector: Collector;
  readonly #planner: Planner;
  /** The next to have its turn first. */
  #calls: Call[] = [];
  readonly #callOf = new WeakMap<Row, Call>();
  #running: Promise<void> | null = null;
  #closed = false;
  #batches = 0;
  #milliseconds = 0;

  constructor(limits: BatchLimits, decode: Decode, collector: Collector) {
    this.#decode = decode;
    this.#collector = collector;
    this.#planner = new Planner(limits, () => this.#nextRows());
  }

  get stats(): SchedulerStats {
    const { asked, computed } = this.#planner.stats;
    return {
      tokensAsked: asked,
      tokensComputed: computed,
      tokensReused: Math.max(0, asked - computed),
      batches: this.#batches,
      milliseconds: this.#milliseconds,
    };
  }

  /** @throws ERR_CLOSED after {@link close} */
  checkOpen(): void {
    if (this.#closed) throw closedError();
  }

  /**
   * Computes rows; the collector then has their outputs. Calls that overlap share micro-batches, in turns.
   * @param onProgress rows done and in all, after each micro-batch that finished some
   * @throws (rejects) ERR_CLOSED once closed; ERR_ABORTED once the signal is aborted, without waiting for the running
   *   micro-batch; and what computing throws
   */
  async run(rows: readonly Row[], signal?: AbortSignal, onProgress?: Call["onProgress"]): Promise<void> {
    this.checkOpen();
    checkAborted(signal);
    if (rows.length === 0) return;
    const { promise, call } = newCall(rows, onProgress);
    for (const row of rows) this.#callOf.set(row, call);
    this.#calls.push(call);
    this.#running ??= this.#work();
    try {
      await unlessAborted(promise, signal);
    } finally {
      this.#forget(call);
    }
  }

  /** Refuses new calls, rejects the waiting ones, and resolves when the running micro-batch has ended. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#running;
  }

  /** Computes until no call is left. */
  async #work(): Promise<void> {
    // The calls of one turn of the event loop share micro-batches from the first one on.
    await new Promise((resolve) => setImmediate(resolve));
    const slices = new Slices();
    while (this.#calls.length > 0) {
      try {
        if (slices.isOver) await slices.pause(); // rows that need no computing would hold up the event loop
        this.checkOpen();
        await this.#computeBatch();
      } catch (error) {
        this.#fail(error);
      }
    }
    this.#running = null;
  }

  async #computeBatch(): Promise<void> {
    const batch = this.#planner.plan();
    if (!batch)
      throw new ScoreheadError("ERR_INTERNAL", "A call is open and nothing is left to compute. Please report this.");
    const start = performance.now();
    const result = batch.native && (await this.#decode(batch.native));
    this.checkOpen();
    if (result) {
      this.#batches++;
      this.#milliseconds += performance.now() - start;
    }
    if (result && result.nonFinite >= 0) throw new NonFiniteOutput(batch.deliveries);
    this.#collector.take(batch, result);
    const progressed = new Map<Call, number>();
    for (const row of batch.finished) {
      const call = this.#callOf.get(row);
      if (call?.inFlight.delete(row)) progressed.set(call, (progressed.get(call) ?? 0) + 1);
    }
    for (const [call, rows] of progressed) this.#progress(call, rows);
  }

  #progress(call: Call, rows: number): void {
    call.finished += rows;
    try {
      call.onProgress?.(call.finished, call.total);
    } catch (error) {
      call.reject(error); // the caller's own callback threw
      this.#forget(call);
      return;
    }
    if (call.finished < call.total) return;
    call.resolve();
    this.#forget(call);
  }

  /** Rejects the call that an error belongs to. Where several were in the micro-batch, each is computed again, alone. */
  #fail(error: unknown): void {
    this.#planner.reset();
    const suspects = this.#closed ? [] : this.#calls.filter(({ inFlight }) => inFlight.size > 0);
    const guilty = suspects.length > 0 ? suspects.filter(({ alone }) => alone) : [...this.#calls];
    for (const call of guilty) {
      call.reject(error);
      this.#forget(call);
    }
    for (const call of suspects) {
      call.pending.push(...[...call.inFlight].reverse());
      call.inFlight.clear();
      call.alone = true;
    }
  }

  /** Frees what a call held. */
  #forget(call: Call): void {
    const index = this.#calls.indexOf(call);
    if (index < 0) return;
    this.#calls.splice(index, 1);
    if (call.inFlight.size > 0) this.#planner.drop((row) => call.inFlight.has(row));
    call.inFlight.clear();
  }

  /**
   * The planner's next window: each call in turn, with as many rows as a turn has tokens, so that what a call's rows
   * share is found; or the rows of one call that has to be alone.
   */
  #nextRows(): Row[] {
    const inFlight = this.#calls.filter((call) => call.inFlight.size > 0);
    const exclusive =
      inFlight.length > 0 ? inFlight.find(({ alone }) => alone) : this.#calls.find(({ alone }) => alone);
    // A call that has to be alone waits until the others in flight have ended.
    if (!exclusive && this.#calls.some(({ alone }) => alone)) return [];
    const rows: Row[] = [];
    let tokens = 0;
    for (const call of exclusive ? [exclusive] : [...this.#calls]) {
      if (tokens >= this.#windowTokens) break;
      const taken = takeTurn(call);
      if (taken.length === 0) continue;
      rows.push(...taken);
      tokens += countTokens(taken);
      // To the end of the line.
      this.#calls.splice(this.#calls.indexOf(call), 1);
      this.#calls.push(call);
    }
    return rows;
  }

  get #windowTokens(): number {
    const perSecond = (this.#planner.stats.computed / Math.max(1, this.#milliseconds)) * 1000;
    return Math.min(MOST_WINDOW, Math.max(TURN_TOKENS, perSecond * WINDOW_SECONDS));
  }
}

/** Hands out a call's next rows: one, and more while they have fewer tokens than a turn. */
function takeTurn(call: Call): Row[] {
  const rows: Row[] = [];
  for (let tokens = 0; tokens < TURN_TOKENS; ) {
    const row = call.pending.pop();
    if (!row) break;
    call.inFlight.add(row);
    rows.push(row);
    tokens += row.tokens.length;
  }
  return rows;
}

function countTokens(rows: readonly Row[]): number {
  return rows.reduce((sum, { tokens }) => sum + tokens.length, 0);
}

function newCall(rows: readonly Row[], onProgress: Call["onProgress"]): { promise: Promise<void>; call: Call } {
  let resolve = (): void => {};
  let reject = (_: unknown): void => {};
  const promise = new Promise<void>((res, rej) => {
    resolve = res;
    reject = rej;
  });
  const call = {
    pending: [...rows].reverse(),
    inFlight: new Set<Row>(),
    total: rows.length,
    finished: 0,
    alone: false,
  };
  return { promise, call: { ...call, onProgress, resolve, reject } };
}

function closedError(): ScoreheadError {
  return new ScoreheadError("ERR_CLOSED", "The model is closed. Load it again to go on scoring.");
}
