/** What is computed for a row, gathered micro-batch by micro-batch, until it is a row of the output. */
import { type Delivery, OUTSIDE_TEXT, type PlannedBatch, type Row } from "../batch/types.ts";
import { normalizeScores } from "../head/normalize.ts";
import type { ScoredRow } from "../head/output.ts";
import type { HeadSpec } from "../head/types.ts";
import type { NativeBatchResult } from "../runtime/contract.ts";

/** Raw numbers; they are normalised at the end. */
interface Collected {
  readonly endScores: Float32Array;
  readonly scores: Float32Array | null;
  readonly endHidden: Float32Array | null;
  readonly hidden: Float32Array | null;
}

export class Collector {
  readonly #spec: HeadSpec;
  /** Weak: a row's numbers stay as long as the planner may hand them to another row. */
  readonly #rows = new WeakMap<Row, Collected>();

  constructor(spec: HeadSpec) {
    this.#spec = spec;
  }

  /** Takes what a micro-batch computed. */
  take({ deliveries, shared }: PlannedBatch, result: NativeBatchResult | null): void {
    if (result) this.#deliver(deliveries, result);
    for (const { from, to, count } of shared) this.#share(from, to, count);
  }

  /** A finished row, normalised where the checkpoint says so. */
  scoredRow(row: Row, truncated: number): ScoredRow {
    const { endScores, scores, endHidden, hidden } = this.#of(row);
    const { normalizer } = this.#spec;
    const normalized = (raw: Float32Array): Float32Array => (normalizer ? normalizeScores(raw, normalizer) : raw);
    return {
      tokenIds: row.tokens,
      endIndex: typeof row.read === "number" ? row.read : row.read.position,
      endScores: normalized(endScores),
      ...(scores && { scores: normalized(scores) }),
      ...(endHidden && { endHidden }),
      ...(hidden && { hidden }),
      truncated,
    };
  }

  #of(row: Row): Collected {
    const known = this.#rows.get(row);
    if (known) return known;
    const { outputs, hiddenSize } = this.#spec;
    const made: Collected = {
      endScores: new Float32Array(outputs),
      scores: row.perToken ? new Float32Array(row.tokens.length * outputs) : null,
      endHidden: row.hidden === "none" ? null : new Float32Array(hiddenSize),
      hidden: row.hidden === "all" ? new Float32Array(row.tokens.length * hiddenSize) : null,
    };
    this.#rows.set(row, made);
    return made;
  }

  #deliver(deliveries: PlannedBatch["deliveries"], { scores, hidden }: NativeBatchResult): void {
    const { outputs, hiddenSize } = this.#spec;
    let hiddenRow = 0;
    for (const [output, rows] of deliveries.entries()) {
      const score = scores.subarray(output * outputs, (output + 1) * outputs);
      const hasHidden = rows.some((delivery) => delivery.hidden);
      const state = hasHidden ? hidden.subarray(hiddenRow * hiddenSize, (hiddenRow + 1) * hiddenSize) : null;
      if (hasHidden) hiddenRow++;
      for (const delivery of rows) this.#put(delivery, score, state);
    }
  }

  #put({ row, token, hidden: wantsHidden }: Delivery, score: Float32Array, state: Float32Array | null): void {
    const { outputs, hiddenSize } = this.#spec;
    const target = this.#of(row);
    const isEnd = token === OUTSIDE_TEXT || token === row.read;
    if (isEnd) target.endScores.set(score);
    if (token !== OUTSIDE_TEXT) target.scores?.set(score, token * outputs);
    if (!wantsHidden || !state) return;
    if (isEnd) target.endHidden?.set(state);
    if (token !== OUTSIDE_TEXT) target.hidden?.set(state, token * hiddenSize);
  }

  /** Copies what another row has for its first `count` tokens; the planner has made sure that it has what is needed. */
  #share(from: Row, to: Row, count: number): void {
    const { outputs, hiddenSize } = this.#spec;
    const source = this.#of(from);
    const target = this.#of(to);
    if (source.scores) target.scores?.set(source.scores.subarray(0, count * outputs));
    if (source.hidden) target.hidden?.set(source.hidden.subarray(0, count * hiddenSize));
    const { read } = to;
    if (typeof read !== "number" || read >= count) return;
    const sameRead = from.read === read;
    target.endScores.set(sameRead ? source.endScores : part(source.scores, read, outputs));
    target.endHidden?.set(sameRead && source.endHidden ? source.endHidden : part(source.hidden, read, hiddenSize));
  }
}

function part(rows: Float32Array | null, index: number, width: number): Float32Array {
  return rows ? rows.subarray(index * width, (index + 1) * width) : new Float32Array(0);
}
