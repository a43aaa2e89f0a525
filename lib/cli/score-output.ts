/** The result of one input: a JSON line for programs, table rows for people. */
import { type ModelInfo, type ScoreInput, type ScoreModelOutput, scoreMeaning, type Tensor } from "../index.ts";
import { formatScore, tableLines } from "./format.ts";
import type { Entry } from "./lines.ts";

type FloatTensor = Tensor<Float32Array>;

/**
 * The JSON line of a result, in pieces: one with every hidden state can be longer than a string may be.
 *
 * Numbers are float32 values in their shortest decimal form as doubles, which reads back exactly.
 *
 * @param output of one input
 */
export function* jsonLine({ index, tag }: Entry<ScoreInput>, output: ScoreModelOutput): Generator<string> {
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

/** Widths are fixed, because rows are printed as they come. */
const COLUMNS = [6, 7, 10] as const;

export const TABLE_HEADER: string = tableRow(["index", "tokens", "truncated"], "score");

function tableRow(cells: readonly string[], last: string): string {
  return `${COLUMNS.map((width, i) => (cells[i] ?? "").padStart(width)).join("")}  ${last}`;
}

/** One line an output. */
export function resultLines({ index }: Entry<ScoreInput>, output: ScoreModelOutput): string[] {
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
