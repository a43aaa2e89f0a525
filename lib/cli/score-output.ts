/** The result of one input: a JSON line for programs, table rows for people. */
import { type ModelInfo, type ScoreheadError, type ScoreModelOutput, scoreMeaning, type Tensor } from "../index.ts";
import { formatScore, tableLines } from "./format.ts";
import type { Entry } from "./score-input.ts";

type FloatTensor = Tensor<Float32Array>;

/** One text's part of a batch, without the padding: an output of one row. */
export function rowOutput(output: ScoreModelOutput, row: number): ScoreModelOutput {
  const { type, labels, tokenIds, lengths, truncated, scores, endLastHiddenState, lastHiddenState } = output;
  const length = lengths[row] as number;
  return {
    type,
    labels,
    endScores: rowTensor(output.endScores, row),
    endIndex: { data: output.endIndex.data.slice(row, row + 1), dims: [1] },
    ...(scores && { scores: rowTensor(scores, row, length) }),
    ...(endLastHiddenState && { endLastHiddenState: rowTensor(endLastHiddenState, row) }),
    ...(lastHiddenState && { lastHiddenState: rowTensor(lastHiddenState, row, length) }),
    tokenIds: tokenIds.slice(row, row + 1),
    lengths: lengths.slice(row, row + 1),
    truncated: truncated.slice(row, row + 1),
  };
}

/** `[B, …]` → `[1, …]`; of `[B, L, width]` the first `length` of L. */
function rowTensor({ data, dims }: FloatTensor, row: number, length?: number): FloatTensor {
  const stride = data.length / (dims[0] as number);
  const inner = dims.slice(1);
  if (length !== undefined) inner[0] = length;
  const size = inner.reduce((product, n) => product * n, 1);
  return { data: data.subarray(row * stride, row * stride + size), dims: [1, ...inner] };
}

/**
 * The JSON line of a result, in pieces: one with every hidden state can be longer than a string may be.
 *
 * Numbers are float32 values in their shortest decimal form as doubles, which reads back exactly.
 *
 * @param output of one input
 */
export function* jsonLine({ index, tag }: Entry, output: ScoreModelOutput): Generator<string> {
  const facts = {
    index,
    ...tag,
    type: output.type,
    tokenIds: Array.from(output.tokenIds[0] ?? []),
    endIndex: output.endIndex.data[0],
    endScores: Array.from(output.endScores.data),
    labels: output.labels,
    truncated: output.truncated[0],
  };
  yield JSON.stringify(facts).slice(0, -1);
  if (output.scores) yield* jsonRows("scores", output.scores);
  if (output.endLastHiddenState)
    yield `,"endLastHiddenState":${JSON.stringify(Array.from(output.endLastHiddenState.data))}`;
  if (output.lastHiddenState) yield* jsonRows("lastHiddenState", output.lastHiddenState);
  yield "}\n";
}

/** `[1, L, width]` as an array of L arrays. */
function* jsonRows(name: string, tensor: FloatTensor): Generator<string> {
  yield `,"${name}":[`;
  for (const [i, row] of rowsOf(tensor).entries()) yield `${i > 0 ? "," : ""}${JSON.stringify(Array.from(row))}`;
  yield "]";
}

function rowsOf({ data, dims }: FloatTensor): Float32Array[] {
  const width = dims.at(-1) as number;
  return Array.from({ length: data.length / width }, (_, i) => data.subarray(i * width, (i + 1) * width));
}

/** The JSON line of an input that could not be scored. */
export function jsonErrorLine({ index, tag }: Entry, { code, message }: ScoreheadError): string {
  return `${JSON.stringify({ index, ...tag, error: { code, message } })}\n`;
}

/** Widths are fixed, because rows are printed as they come. */
const COLUMNS = [6, 7, 10] as const;

export const TABLE_HEADER: string = tableRow(["index", "tokens", "truncated"], "score");

function tableRow(cells: readonly string[], last: string): string {
  return `${COLUMNS.map((width, i) => (cells[i] ?? "").padStart(width)).join("")}  ${last}`;
}

/** One line an output. */
export function resultLines({ index }: Entry, output: ScoreModelOutput): string[] {
  const { type, labels, endScores, tokenIds, truncated } = output;
  const cells = [index, tokenIds[0]?.length ?? 0, truncated[0] ?? 0].map(String);
  return labels.map((label, i) =>
    tableRow(i === 0 ? cells : [], scoreMeaning(type, label, endScores.data[i] as number)),
  );
}

/** Every token with its score; several outputs stand beside each other in the order of the labels. */
export function tokenLines(
  output: ScoreModelOutput,
  { labels }: ModelInfo,
  tokenText: (id: number) => string,
): string[] {
  const ids = output.tokenIds[0] ?? [];
  const rows = output.scores ? rowsOf(output.scores) : [];
  return tableLines([
    ["", "", "position", "token", ...labels],
    ...rows.map((row, position) => {
      const text = JSON.stringify(tokenText(ids[position] as number));
      return ["", "", String(position).padStart(8), text, ...Array.from(row, formatScore)];
    }),
  ]);
}
