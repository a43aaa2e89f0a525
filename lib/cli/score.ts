/** `scorehead score`: texts → scores, one after the other as they are read. */
import { Command, Option } from "commander";
import type { ModelInfo, ScoreInput, ScoreModel, ScoreModelOutput, ScoreOptions, StreamResult } from "../index.ts";
import { answerAll, type Say } from "./answer.ts";
import { append, finiteNumber, given, once } from "./arguments.ts";
import { EXIT, UsageError } from "./exit.ts";
import type { Entry } from "./lines.ts";
import { addModelOptions, loadModel, MODEL_ARGUMENT, type ModelOptions, textOptions } from "./model-options.ts";
import { type InputOptions, openInputs } from "./score-input.ts";
import { jsonLine, resultLines, TABLE_HEADER, tokenLines } from "./score-output.ts";
import { writeLines, writePieces } from "./stdout.ts";

interface ScoreCommandOptions extends InputOptions, ModelOptions, Pick<ScoreOptions, "perToken"> {
  readonly json?: true;
  readonly hidden?: "end" | "all";
  readonly failAbove?: number;
  readonly failBelow?: number;
}

export function scoreCommand(): Command {
  const command = new Command("score")
    .summary("score texts")
    .description(
      "Score texts with a reward or cost model. Each line of --input is a JSON object with text, or prompt and " +
        "response, or messages, or tokenIds, and perhaps an id, which is echoed. Blank lines are skipped. A line that " +
        "cannot be scored does not stop the others; the exit code is 1 then.",
    )
    .argument(...MODEL_ARGUMENT)
    .option("--text <text>", "score this exact text; may be given several times", append)
    .option("--prompt <text>", "with --response: score this conversation by the model's template", once("--prompt"))
    .option("--response <text>", "the answer to score; `scorehead rank` takes several", once("--response"))
    .option("--input <file>", "score each line of a JSON lines file; - is stdin")
    .option("--json", "print one JSON object for each input, in order")
    .option("--per-token", "also the score after each token")
    .addOption(new Option("--hidden <which>", "with --json: also hidden states").choices(["end", "all"]));
  addModelOptions(command);
  command
    .addOption(
      new Option("--fail-above <score>", "exit with 3 if a score is above this")
        .argParser(finiteNumber)
        .conflicts("failBelow"),
    )
    .option("--fail-below <score>", "exit with 3 if a score is below this", finiteNumber);
  return command.action(run);
}

async function run(path: string, options: ScoreCommandOptions): Promise<void> {
  const { input, json = false, perToken, hidden: hiddenStates } = options;
  if (hiddenStates && !json) throw new UsageError("--hidden needs --json: hidden states are for programs.");
  const entries = await openInputs(options);
  await using model = await loadModel(path, options);
  const gate = new Gate(options, model.info);
  const scoreOptions = { ...given({ perToken, hiddenStates }), ...textOptions(options) };
  const write = json ? writeJson : tableWriter(model);
  const failed = await answerAll<ScoreInput, StreamResult>({
    model,
    entries,
    isFile: input !== undefined,
    json,
    answer: (contents) => model.scoreStream(contents, scoreOptions),
    print: async (entry, result, say) => {
      gate.check(entry, result, say);
      await write(entry, result);
    },
  });
  process.exitCode = failed > 0 ? EXIT.failed : gate.tripped ? EXIT.gate : 0;
}

type Write = (entry: Entry<ScoreInput>, output: ScoreModelOutput) => Promise<void>;

const writeJson: Write = (entry, output) => writePieces(jsonLine(entry, output));

function tableWriter(model: ScoreModel): Write {
  let header = [TABLE_HEADER];
  return async (entry, output) => {
    await writeLines([...header, ...resultLines(entry, output)]);
    if (output.scores) await writeLines(tokenLines(output, model.info, (id) => model.tokenText(id)));
    header = [];
  };
}

/** --fail-above and --fail-below: a limit on every text's score. */
class Gate {
  tripped = false;
  readonly #above: number;
  readonly #below: number;

  /** @throws UsageError where there is a limit and it is not clear which of several outputs it is for */
  constructor({ failAbove, failBelow }: ScoreCommandOptions, { labels, kind }: ModelInfo) {
    const set = failAbove !== undefined || failBelow !== undefined;
    if (set && labels.length > 1 && kind !== "gated")
      throw new UsageError(
        `--fail-above and --fail-below are for models with one score; this one has ${labels.length} (${labels.join(", ")}).`,
      );
    this.#above = failAbove ?? Number.POSITIVE_INFINITY;
    this.#below = failBelow ?? Number.NEGATIVE_INFINITY;
  }

  check({ index }: Entry<ScoreInput>, { endScores }: ScoreModelOutput, say: Say): void {
    const score = endScores.data[0] as number;
    const exceeded = score > this.#above ? `above ${this.#above}` : score < this.#below ? `below ${this.#below}` : null;
    if (exceeded === null) return;
    this.tripped = true;
    say(`gate: input ${index} scores ${score}, ${exceeded}`);
  }
}
