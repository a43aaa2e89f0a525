/** How scores and hidden states are compared with the golden numbers. */
import type { ScoreModelOutput, Tensor } from "../../lib/index.ts";
import type { Golden } from "../fixtures/golden.ts";

/** Per output, how far a case's per-token scores lie apart: the scale that makes an error large or small. */
export function scoreSpreads({ results }: Pick<Golden, "results">): readonly number[] {
  const rows = results.flatMap(({ scores }) => scores);
  return (rows[0] ?? []).map((_, output) => {
    const column = rows.map((row) => row[output] as number);
    return Math.max(...column) - Math.min(...column);
  });
}

/** The largest error of scores, row-major with one number an output, relative to the outputs' spreads. */
export function scoreError(found: ArrayLike<number>, expected: ArrayLike<number>, spreads: readonly number[]): number {
  if (found.length !== expected.length) return Number.POSITIVE_INFINITY;
  const errors = Array.from(found, (score, i) => {
    const error = Math.abs(score - (expected[i] as number)) / (spreads[i % spreads.length] as number);
    return Number.isNaN(error) ? Number.POSITIVE_INFINITY : error;
  });
  return Math.max(...errors);
}

/** The length of the difference of two vectors relative to the length of the second. */
export function vectorError(found: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (found.length !== expected.length) return Number.POSITIVE_INFINITY;
  const length = (numbers: readonly number[]): number => Math.hypot(...numbers);
  const difference = Array.from(found, (value, i) => value - (expected[i] as number));
  return length(difference) / length(Array.from(expected));
}

/** One text's part of a batch's tensor `[B, …]`; of per-token parts `[B, L, …]` the text's own rows, without padding. */
export function rowOf(tensor: Tensor<Float32Array> | undefined, row: number, lengths?: Int32Array): Float32Array {
  if (tensor === undefined) throw new Error("The output lacks a tensor that was asked for.");
  const { data, dims } = tensor;
  const stride = dims.slice(1).reduce((a, b) => a * b, 1);
  const width = dims.at(-1) as number;
  const used = lengths === undefined ? stride : (lengths[row] as number) * width;
  return data.subarray(row * stride, row * stride + used);
}

/** What one text of a batch got, comparable with another run of the same text. */
export function textResult(output: ScoreModelOutput, row: number) {
  return {
    tokenIds: [...(output.tokenIds[row] ?? [])],
    endIndex: output.endIndex.data[row],
    truncated: output.truncated[row],
    endScores: rowOf(output.endScores, row),
    ...(output.scores && { scores: rowOf(output.scores, row, output.lengths) }),
    ...(output.endLastHiddenState && { endHidden: rowOf(output.endLastHiddenState, row) }),
    ...(output.lastHiddenState && { hidden: rowOf(output.lastHiddenState, row, output.lengths) }),
  };
}
