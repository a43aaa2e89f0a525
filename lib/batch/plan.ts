/** Rows → micro-batches: one row after the other, each in micro-batches that fit the limits. */
import { MEMORY_OP, OUTPUT } from "../runtime/contract.ts";
import type { BatchLimits, CardRead, Delivery, PlannedBatch, Row } from "./types.ts";

/** The token index that stands for a read position outside the text. */
export const OUTSIDE_TEXT = -1;
const SEQUENCE = 0;
const CLEAR: readonly number[] = [MEMORY_OP.remove, -1, -1, -1, 0];

interface PlannedToken {
  readonly id: number;
  readonly position: number;
  readonly output: number;
  /** Index in the row; only meaningful where there is an output. */
  readonly index: number;
}

/** Cells of the KV cache that a row takes: the card reading adds a placeholder and the token that is read. */
export function cellsOf(row: Row): number {
  return row.tokens.length + (typeof row.read === "number" ? 0 : 2);
}

/** The micro-batches of `rows`, in order. Every row fits the context: the caller has checked {@link cellsOf}. */
export function* planBatches(rows: readonly Row[], limits: BatchLimits): Generator<PlannedBatch> {
  for (const [index, row] of rows.entries()) yield* planRow(index, row, limits);
}

function* planRow(index: number, row: Row, limits: BatchLimits): Generator<PlannedBatch> {
  const tokens = rowTokens(row);
  const card = typeof row.read === "number" ? null : row.read;
  const gap = card ? card.position - row.tokens.length : 0;
  // The placeholder takes the position after the text, because a sequence's positions have to be continuous.
  if (card && gap > 0)
    tokens.push({ id: card.token, position: row.tokens.length, output: OUTPUT.none, index: OUTSIDE_TEXT });
  const last = row.tokens.length - 1;
  let memory = CLEAR;
  for (const chunk of chunks(tokens, limits)) {
    const remember = card ? chunk.flatMap((token, i) => (token.index === last ? [i, SEQUENCE] : [])) : [];
    yield microBatch(index, chunk, { memory, remember });
    memory = [];
  }
  if (card) yield cardBatch(index, row, card, gap);
}

function rowTokens({ tokens, read, perToken, hidden }: Row): PlannedToken[] {
  return Array.from(tokens, (id, index) => {
    const end = index === read;
    const wantsHidden = hidden === "all" || (hidden === "end" && end);
    const output = wantsHidden ? OUTPUT.scoreAndHidden : perToken || end ? OUTPUT.score : OUTPUT.none;
    return { id, position: index, output, index };
  });
}

/** Moves the placeholder to just before the read position, then reads there: the token sees the text alone. */
function cardBatch(index: number, row: Row, card: CardRead, gap: number): PlannedBatch {
  const placeholder = row.tokens.length;
  const memory = gap > 1 ? [MEMORY_OP.shift, SEQUENCE, placeholder, placeholder + 1, gap - 1] : [];
  const output = row.hidden === "none" ? OUTPUT.score : OUTPUT.scoreAndHidden;
  const token = { id: card.token, position: card.position, output, index: OUTSIDE_TEXT };
  return microBatch(index, [token], { memory, recall: [0, SEQUENCE] });
}

function* chunks(tokens: readonly PlannedToken[], limits: BatchLimits): Generator<PlannedToken[]> {
  let chunk: PlannedToken[] = [];
  let outputs = 0;
  for (const token of tokens) {
    const adds = token.output === OUTPUT.none ? 0 : 1;
    if (chunk.length === limits.batchTokens || outputs + adds > limits.maxOutputs) {
      yield chunk;
      chunk = [];
      outputs = 0;
    }
    chunk.push(token);
    outputs += adds;
  }
  if (chunk.length > 0) yield chunk;
}

function microBatch(
  row: number,
  tokens: readonly PlannedToken[],
  {
    memory,
    remember = [],
    recall = [],
  }: { readonly memory: readonly number[]; readonly remember?: readonly number[]; readonly recall?: readonly number[] },
): PlannedBatch {
  const deliveries: Delivery[] = tokens
    .filter(({ output }) => output !== OUTPUT.none)
    .map(({ index, output }) => ({ row, token: index, hidden: output === OUTPUT.scoreAndHidden }));
  const native = {
    memory: Int32Array.from(memory),
    tokens: Int32Array.from(tokens, ({ id }) => id),
    positions: Int32Array.from(tokens, ({ position }) => position),
    sequences: new Int32Array(tokens.length).fill(SEQUENCE),
    sequenceOffsets: Int32Array.from({ length: tokens.length + 1 }, (_, i) => i),
    outputs: Uint8Array.from(tokens, ({ output }) => output),
    remember: Int32Array.from(remember),
    recall: Int32Array.from(recall),
  };
  return { native, deliveries };
}
