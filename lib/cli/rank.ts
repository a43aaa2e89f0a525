/** `scorehead rank`: the answers to a prompt, best first. */
import { Command } from "commander";
import type { RankInput, RankResult, Weights } from "../index.ts";
import { answerAll } from "./answer.ts";
import { append, given, labelledNumbers, once } from "./arguments.ts";
import { EXIT, UsageError } from "./exit.ts";
import { formatScore } from "./format.ts";
import { checkShape, type Entries, type Entry, entriesOf, openEntries } from "./lines.ts";
import { addModelOptions, loadModel, MODEL_ARGUMENT, type ModelOptions, textOptions } from "./model-options.ts";
import { writeLines } from "./stdout.ts";

interface RankCommandOptions extends ModelOptions {
  readonly prompt?: string;
  readonly response?: readonly string[];
  readonly input?: string;
  readonly weights?: Weights;
  readonly json?: true;
}

export function rankCommand(): Command {
  const command = new Command("rank")
    .summary("rank the answers to a prompt")
    .description(
      "Rank the answers to a prompt, best first: the highest reward or weighted sum, the lowest cost. The prompt is " +
        "computed once. Each line of --input is a JSON object with responses, and prompt or messages that end with a " +
        "user turn, and perhaps an id, which is echoed. A line that cannot be ranked does not stop the others; the exit " +
        "code is 1 then.",
    )
    .argument(...MODEL_ARGUMENT)
    .option("--prompt <text>", "with --response: rank the answers to this prompt", once("--prompt"))
    .option("--response <text>", "an answer; given once for each", append)
    .option("--input <file>", "rank each line of a JSON lines file; - is stdin")
    .option(
      "--weights <numbers>",
      "how several outputs count: 0.5,0.5,… in the order of the labels, or label=0.7,label2=-0.3 (others count 0)",
      labelledNumbers,
    )
    .option("--json", "print one JSON object for each input, in order");
  addModelOptions(command);
  return command.action(run);
}

async function run(path: string, options: RankCommandOptions): Promise<void> {
  const { weights, json = false, input } = options;
  const entries = await openInputs(options);
  await using model = await loadModel(path, options);
  const rankOptions = { ...given({ weights }), ...textOptions(options) };
  // Weights that do not fit the model are refused here, before anything is read.
  const failed = await answerAll<RankInput, RankResult>({
    model,
    entries,
    isFile: input !== undefined,
    json,
    answer: (contents) => model.rankStream(contents, rankOptions),
    print: json ? printJson : tablePrinter(),
  });
  if (failed > 0) process.exitCode = EXIT.failed;
}

/** @throws UsageError unless it is one of --prompt with --response, and --input; ERR_NOT_FOUND, ERR_IO */
async function openInputs({ prompt, response, input }: RankCommandOptions): Promise<Entries<RankInput>> {
  if ((prompt !== undefined || response !== undefined) === (input !== undefined))
    throw new UsageError("Name the answers by one of --prompt with --response, and --input <file.jsonl or ->.");
  if (input !== undefined) return openEntries(input, toInput);
  if (prompt === undefined || response === undefined) throw new UsageError("--prompt and --response belong together.");
  return entriesOf<RankInput>([{ prompt, responses: response }]);
}

/** What a line may hold, besides "id". */
const SHAPES = [
  ["prompt", "responses"],
  ["messages", "responses"],
] as const;

function toInput(line: Record<string, unknown>, number: number): RankInput {
  checkShape(line, number, SHAPES, '"prompt" or "messages", and "responses"');
  return line as unknown as RankInput;
}

type Ranking = Extract<RankResult, { error?: undefined }>;

async function printJson({ index, tag }: Entry<RankInput>, { ranking }: Ranking): Promise<void> {
  await writeLines([JSON.stringify({ index, ...tag, ranking })]);
}

/** Enough to tell answers apart, short enough for a line of a terminal. */
const SHOWN_CHARACTERS = 60;
/** Fixed, because rows are printed as they come. */
const WIDTHS = [6, 10, 13] as const;

function tablePrinter(): (entry: Entry<RankInput>, result: Ranking) => Promise<void> {
  let header = [tableRow(["input", "response", "score"], "text")];
  return async ({ index, content }, { ranking }) => {
    const { responses } = content as Exclude<RankInput, Error>;
    const rows = ranking.map((ranked) =>
      tableRow([String(index), String(ranked.index), formatScore(ranked.score)], start(responses[ranked.index] ?? "")),
    );
    await writeLines([...header, ...rows]);
    header = [];
  };
}

function tableRow(cells: readonly string[], last: string): string {
  return `${WIDTHS.map((width, i) => (cells[i] ?? "").padStart(width)).join("")}  ${last}`;
}

/** The start of an answer, on one line. */
function start(response: string): string {
  const line = JSON.stringify(response.slice(0, SHOWN_CHARACTERS)).slice(1, -1);
  return response.length > SHOWN_CHARACTERS ? `${line}…` : line;
}
