/** The typed result: rows of any length, in input order, padded to one tensor each. */
import { ScoreheadError } from "../errors.ts";
import type { HeadFacts, ScoreType } from "./types.ts";

/** A dense row-major tensor. */
export interface Tensor<T extends Float32Array | Int32Array> {
  readonly data: T;
  readonly dims: readonly number[];
}

/**
 * Scores of B texts, as safe-rlhf's `ScoreModelOutput`. L is the longest text's length in tokens, D the head's outputs,
 * E the hidden size. Rows are in input order; beyond a text's own length its row is 0.
 */
export interface ScoreModelOutput {
  /** What a score means. */
  readonly type: ScoreType;
  /** The names of the D outputs. */
  readonly labels: readonly string[];
  /** `[B, D]`, the score at the read position, normalised where the checkpoint says so. */
  readonly endScores: Tensor<Float32Array>;
  /** `[B]`, the read position. */
  readonly endIndex: Tensor<Int32Array>;
  /** `[B, L, D]`, a score after each token, normalised as endScores; only where asked for. */
  readonly scores?: Tensor<Float32Array>;
  /** `[B, E]`, the hidden state at the read position, after the final norm; only where asked for. */
  readonly endLastHiddenState?: Tensor<Float32Array>;
  /** `[B, L, E]`, the hidden state after each token; only where asked for. */
  readonly lastHiddenState?: Tensor<Float32Array>;
  /** The token ids that were scored, a row each, after truncation. */
  readonly tokenIds: readonly Int32Array[];
  /** `[B]`, tokens of each text. */
  readonly lengths: Int32Array;
  /** `[B]`, tokens dropped from each text by truncation. */
  readonly truncated: Int32Array;
}

/** What was computed for one text of n tokens. The optional parts are there for all rows of a batch or for none. */
export interface ScoredRow {
  /** n ids. */
  readonly tokenIds: Int32Array;
  readonly endIndex: number;
  /** D scores. */
  readonly endScores: Float32Array;
  /** Row-major `[n, D]`. */
  readonly scores?: Float32Array;
  /** E numbers. */
  readonly endHidden?: Float32Array;
  /** Row-major `[n, E]`. */
  readonly hidden?: Float32Array;
  /** Tokens dropped. */
  readonly truncated: number;
}

/**
 * Puts the rows of a batch together.
 *
 * @param rows one a text, in input order; an empty batch gives tensors of 0 rows and none of the optional ones
 * @param spec of the head that computed them
 * @throws ERR_NON_FINITE naming the text where a score is NaN or infinite; ERR_MEMORY where a tensor is
 *   larger than the machine allows; ERR_INTERNAL where a row does not have the head's shape
 */
export function assembleOutput(
  rows: readonly ScoredRow[],
  spec: Pick<HeadFacts, "type" | "labels" | "outputs" | "hiddenSize">,
): ScoreModelOutput {
  const { type, labels, outputs, hiddenSize } = spec;
  const lengths = Int32Array.from(rows, ({ tokenIds }) => tokenIds.length);
  const longest = lengths.reduce((a, b) => Math.max(a, b), 0);
  const stack = (name: TensorName, dims: readonly number[]) => stackRows(rows, name, [rows.length, ...dims]);
  const has = (name: TensorName) => rows.some((row) => row[name] !== undefined);
  return {
    type,
    labels,
    endScores: stack("endScores", [outputs]),
    endIndex: { data: Int32Array.from(rows, ({ endIndex }) => endIndex), dims: [rows.length] },
    ...(has("scores") && { scores: stack("scores", [longest, outputs]) }),
    ...(has("endHidden") && { endLastHiddenState: stack("endHidden", [hiddenSize]) }),
    ...(has("hidden") && { lastHiddenState: stack("hidden", [longest, hiddenSize]) }),
    tokenIds: rows.map(({ tokenIds }) => tokenIds),
    lengths,
    truncated: Int32Array.from(rows, ({ truncated }) => truncated),
  };
}

type TensorName = "endScores" | "scores" | "endHidden" | "hidden";

const MEANING: Readonly<Record<TensorName, string>> = {
  endScores: "score at the read position",
  scores: "per-token score",
  endHidden: "hidden state at the read position",
  hidden: "hidden state",
};

/** Copies one part of every row to its place in a zeroed tensor: `[B, width]`, or `[B, L, width]` for per-token parts. */
function stackRows(rows: readonly ScoredRow[], name: TensorName, dims: readonly number[]): Tensor<Float32Array> {
  const perToken = dims.length === 3;
  const width = dims.at(-1) as number;
  const stride = dims.slice(1).reduce((a, b) => a * b, 1);
  const data = allocate(rows.length * stride, name, dims);
  for (const [i, row] of rows.entries()) {
    const values = row[name];
    const expected = perToken ? row.tokenIds.length * width : width;
    if (values?.length !== expected) {
      throw new ScoreheadError(
        "ERR_INTERNAL",
        `Row ${i} has ${values?.length ?? "no"} numbers as ${MEANING[name]} instead of ${expected}. Please report this.`,
      );
    }
    // The addon has looked at every hidden state; scores were normalised or mixed since.
    if (name === "scores" || name === "endScores") checkFinite(values, i, name, width);
    data.set(values, i * stride);
  }
  return { data, dims };
}

function checkFinite(values: Float32Array, row: number, name: "scores" | "endScores", width: number): void {
  const at = values.findIndex((value) => !Number.isFinite(value));
  if (at < 0) return;
  const token = name === "scores" ? ` of token ${Math.floor(at / width)}` : "";
  throw new ScoreheadError(
    "ERR_NON_FINITE",
    `Text ${row}: number ${at % width} of the ${MEANING[name]}${token} is ${values[at]}. The checkpoint is damaged, or ` +
      "its numbers overflow 16 bits: convert it with --type f32 or bf16.",
  );
}

function allocate(length: number, name: TensorName, dims: readonly number[]): Float32Array {
  try {
    return new Float32Array(length);
  } catch (cause) {
    throw new ScoreheadError(
      "ERR_MEMORY",
      `The ${MEANING[name]} of this batch, [${dims.join(", ")}], needs ${length * 4} bytes, which this process cannot ` +
        "allocate. Score fewer texts at once, or ask for less than every hidden state.",
      cause,
    );
  }
}
