/** What is computed for a row, gathered micro-batch by micro-batch, until it is a row of the output. */
import { type Delivery, OUTSIDE_TEXT, type PlannedBatch, type Row } from "../batch/types.ts";
import { mixRewards } from "../head/gating.ts";
import { normalizeScores } from "../head/normalize.ts";
import type { ScoredRow } from "../head/output.ts";
import type { LoadedHead } from "../head/types.ts";
import type { NativeBatchResult } from "../runtime/contract.ts";

/** The network's own outputs; they become scores at the end. */
interface Collected {
  readonly endScores: Float32Array;
  readonly scores: Float32Array | null;
  readonly endHidden: Float32Array | null;
  readonly hidden: Float32Array | null;
  readonly gate: Float32Array | null;
}

export class Collector {
  readonly #spec: LoadedHead;
  /** Outputs of the network: with a gate, the rewards that its score is mixed from. */
  readonly #outputs: number;
  /** Weak: a row's numbers stay as long as the planner may hand them to another row. */
  readonly #rows = new WeakMap<Row, Collected>();

  constructor(spec: LoadedHead) {
    this.#spec = spec;
    this.#outputs = spec.mixing === null ? spec.outputs : spec.outputs - 1;
  }

  /** Takes what a micro-batch computed. */
  take({ deliveries, shared }: PlannedBatch, result: NativeBatchResult | null): void {
    if (result) this.#deliver(deliveries, result);
    for (const { from, to, count } of shared) this.#share(from, to, count);
  }

  /** A finished row, mixed by its gate and normalised where the checkpoint says so. */
  scoredRow(row: Row, truncated: number): ScoredRow {
    const { endScores, scores, endHidden, hidden, gate } = this.#of(row);
    const { normalizer, mixing } = this.#spec;
    const scored = (raw: Float32Array): Float32Array => {
      if (mixing && gate) return mixRewards(raw, gate, mixing);
      return normalizer ? normalizeScores(raw, normalizer) : raw;
    };
    return {
      tokenIds: row.tokens,
      endIndex: typeof row.read === "number" ? row.read : row.read.position,
      endScores: scored(endScores),
      ...(scores && { scores: scored(scores) }),
      ...(endHidden && { endHidden }),
      ...(hidden && { hidden }),
      truncated,
    };
  }

  #of(row: Row): Collected {
    const known = this.#rows.get(row);
    if (known) return known;
    const { hiddenSize } = this.#spec;
    const outputs = this.#outputs;
    const made: Collected = {
      endScores: new Float32Array(outputs),
      scores: row.perToken ? new Float32Array(row.tokens.length * outputs) : null,
      endHidden: row.hidden === "none" ? null : new Float32Array(hiddenSize),
      hidden: row.hidden === "all" ? new Float32Array(row.tokens.length * hiddenSize) : null,
      // A gate of zeros would mix the rewards too; one that is missing is no number.
      gate: row.gate === null ? null : new Float32Array(outputs).fill(Number.NaN),
    };
    this.#rows.set(row, made);
    return made;
  }

  #deliver(deliveries: PlannedBatch["deliveries"], { scores, hidden, gates }: NativeBatchResult): void {
    const outputs = this.#outputs;
    let hiddenRow = 0;
    let gateRow = 0;
    for (const [output, rows] of deliveries.entries()) {
      const score = part(scores, output, outputs);
      const state = rows.some((delivery) => delivery.hidden) ? part(hidden, hiddenRow++, this.#spec.hiddenSize) : null;
      const gate = rows.some((delivery) => delivery.gate) ? part(gates, gateRow++, outputs) : null;
      for (const delivery of rows) this.#put(delivery, score, state, gate);
    }
  }

  #put(
    { row, token, hidden: wantsHidden, gate: wantsGate }: Delivery,
    score: Float32Array,
    state: Float32Array | null,
    gate: Float32Array | null,
  ): void {
    const { hiddenSize } = this.#spec;
    const outputs = this.#outputs;
    const target = this.#of(row);
    const isEnd = token === OUTSIDE_TEXT || token === row.read;
    if (isEnd) target.endScores.set(score);
    if (token !== OUTSIDE_TEXT) target.scores?.set(score, token * outputs);
    if (wantsGate && gate) target.gate?.set(gate);
    if (!wantsHidden || !state) return;
    if (isEnd) target.endHidden?.set(state);
    if (token !== OUTSIDE_TEXT) target.hidden?.set(state, token * hiddenSize);
  }

  /** Copies what another row has for its first `count` tokens; the planner has made sure that it has what is needed. */
  #share(from: Row, to: Row, count: number): void {
    const { hiddenSize } = this.#spec;
    const outputs = this.#outputs;
    const source = this.#of(from);
    const target = this.#of(to);
    if (source.scores) target.scores?.set(source.scores.subarray(0, count * outputs));
    if (source.hidden) target.hidden?.set(source.hidden.subarray(0, count * hiddenSize));
    if (source.gate && to.gate !== null && to.gate < count) target.gate?.set(source.gate);
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
