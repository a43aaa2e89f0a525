/** `scorehead score`: texts → scores, one after the other as they are read. */
import { Command, Option } from "commander";
import {
  DEVICE_CHOICES,
  isScoreheadError,
  type LoadOptions,
  PROFILE_NAMES,
  READ_POSITIONS,
  ScoreheadError,
  ScoreModel,
  type ScoreModelOutput,
  type ScoreOptions,
} from "../index.ts";
import { finiteNumber, given, positiveInteger } from "./arguments.ts";
import { EXIT, say, UsageError } from "./exit.ts";
import { type Entry, type InputOptions, openInputs } from "./score-input.ts";
import { jsonErrorLine, jsonLine, resultLines, rowOutput, TABLE_HEADER, tokenLines } from "./score-output.ts";
import { writeLines, writePieces } from "./stdout.ts";

interface ScoreCommandOptions
  extends InputOptions,
    Pick<LoadOptions, "profile" | "device" | "threads" | "kv" | "context">,
    Pick<ScoreOptions, "perToken" | "read" | "maxLength" | "truncate" | "appendEos"> {
  readonly json?: true;
  readonly hidden?: "end" | "all";
  readonly failAbove?: number;
  readonly failBelow?: number;
}

const append = (value: string, previous: readonly string[] = []): string[] => [...previous, value];

export function scoreCommand(): Command {
  const command = new Command("score")
    .summary("score texts")
    .description(
      "Score texts with a reward or cost model. Each line of --input is a JSON object with text, or prompt and " +
        "response, or messages, or tokenIds, and perhaps an id, which is echoed. Blank lines are skipped. A line that " +
        "cannot be scored does not stop the others; the exit code is 1 then.",
    )
    .argument("<model>", "a .gguf file, or a checkpoint's directory, which is converted into the cache once")
    .option("--text <text>", "score this exact text; may be given several times", append)
    .option("--prompt <text>", "with --response: score this conversation by the model's template")
    .option("--response <text>", "the answer to score")
    .option("--input <file>", "score each line of a JSON lines file; - is stdin")
    .option("--json", "print one JSON object for each input, in order")
    .option("--per-token", "also the score after each token")
    .addOption(new Option("--hidden <which>", "with --json: also hidden states").choices(["end", "all"]));
  addModelOptions(command);
  return command.action(run);
}

function addModelOptions(command: Command): void {
  command
    .option("--profile <name>", `another profile than the file's own: ${PROFILE_NAMES}`)
    .addOption(
      new Option("--read <position>", "where to read the score; default: the profile's").choices(READ_POSITIONS),
    )
    .option("--max-length <tokens>", "cut texts to this many tokens", positiveInteger)
    .addOption(new Option("--truncate <side>", "the end to cut; default: the profile's").choices(["left", "right"]))
    .option("--append-eos", "append the EOS token, except to tokenIds")
    .addOption(new Option("--device <kind>", "what to compute on; default: auto").choices(DEVICE_CHOICES))
    .option("--threads <count>", "computing threads; default: all that this process may use", positiveInteger)
    .addOption(new Option("--kv <type>", "precision of the KV cache; default: f16").choices(["f16", "f32"]))
    .option(
      "--context <tokens>",
      "size of the KV cache; default: the model's length where memory allows",
      positiveInteger,
    )
    .addOption(
      new Option("--fail-above <score>", "exit with 3 if a score is above this")
        .argParser(finiteNumber)
        .conflicts("failBelow"),
    )
    .option("--fail-below <score>", "exit with 3 if a score is below this", finiteNumber);
}

async function run(path: string, options: ScoreCommandOptions): Promise<void> {
  if (options.hidden && !options.json) throw new UsageError("--hidden needs --json: hidden states are for programs.");
  const groups = await openInputs(options);
  const { profile, device, threads, kv, context } = options;
  await using model = await ScoreModel.load(path, {
    ...given({ profile, device, threads, kv, context }),
    onWarning: (message) => say(`warning: ${message}`),
  });
  const { perToken, hidden: hiddenStates, maxLength, truncate, read, appendEos } = options;
  const scoreOptions = given({ perToken, hiddenStates, maxLength, truncate, read, appendEos });
  // Scoring nothing checks the options once, so that a wrong one is wrong usage and not the fault of every input.
  await model.score([], scoreOptions);
  const gate = new Gate(options, model.info.labels);
  const print = printer(options, model);
  if (!options.json) await writeLines([TABLE_HEADER]);
  let failed = 0;
  const most = hiddenStates === "all" ? 1 : MOST_TOGETHER;
  for await (const arrived of groups)
    for (let from = 0; from < arrived.length; from += most) {
      const entries = arrived.slice(from, from + most);
      const results = await scoreEntries(model, entries, scoreOptions);
      for (const [i, entry] of entries.entries()) {
        const result = results[i] as Result;
        if (result instanceof ScoreheadError) failed++;
        else gate.check(entry, result);
        await print(entry, result);
      }
    }
  if (failed > 0) say(`${failed} of the inputs could not be scored.`);
  process.exitCode = failed > 0 ? EXIT.failed : gate.tripped ? EXIT.gate : 0;
}

type Result = ScoreModelOutput | ScoreheadError;

/** Enough to fill micro-batches with short texts. Every hidden state of so many would be gigabytes: those go singly. */
const MOST_TOGETHER = 32;

/** Scores inputs in one call, or one by one where that fails, so that a bad one costs the others nothing. */
async function scoreEntries(model: ScoreModel, entries: readonly Entry[], options: ScoreOptions): Promise<Result[]> {
  const inputs = entries.flatMap(({ content }) => ("input" in content ? [content.input] : []));
  try {
    const output = await model.score(inputs, options);
    let row = 0;
    return entries.map(({ content }) => ("error" in content ? content.error : rowOutput(output, row++)));
  } catch (error) {
    if (!isScoreheadError(error)) throw error;
    if (entries.length === 1) return [error];
  }
  const results: Result[] = [];
  for (const entry of entries) results.push(...(await scoreEntries(model, [entry], options)));
  return results;
}

type Print = (entry: Entry, result: Result) => Promise<void>;

function printer({ json }: ScoreCommandOptions, model: ScoreModel): Print {
  const isError = (result: Result) => result instanceof ScoreheadError;
  if (json)
    return (entry, result) => writePieces(isError(result) ? [jsonErrorLine(entry, result)] : jsonLine(entry, result));
  return async (entry, result) => {
    if (isError(result)) return say(`input ${entry.index}: ${result.message} (${result.code})`);
    await writeLines(resultLines(entry, result));
    if (result.scores) await writeLines(tokenLines(result, model.info, (id) => model.tokenText(id)));
  };
}

/** --fail-above and --fail-below: a limit on every end score. */
class Gate {
  tripped = false;
  readonly #above: number;
  readonly #below: number;

  /** @throws UsageError where there is a limit and it is not clear which of several outputs it is for */
  constructor({ failAbove, failBelow }: ScoreCommandOptions, labels: readonly string[]) {
    const set = failAbove !== undefined || failBelow !== undefined;
    if (set && labels.length > 1)
      throw new UsageError(
        `--fail-above and --fail-below are for models with one score; this one has ${labels.length} (${labels.join(", ")}).`,
      );
    this.#above = failAbove ?? Number.POSITIVE_INFINITY;
    this.#below = failBelow ?? Number.NEGATIVE_INFINITY;
  }

  check({ index }: Entry, { endScores }: ScoreModelOutput): void {
    const score = endScores.data[0] as number;
    const exceeded = score > this.#above ? `above ${this.#above}` : score < this.#below ? `below ${this.#below}` : null;
    if (exceeded === null) return;
    this.tripped = true;
    say(`gate: input ${index} scores ${score}, ${exceeded}`);
  }
}
