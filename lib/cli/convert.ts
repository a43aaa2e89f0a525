/** `scorehead convert`: a published checkpoint → one GGUF file. */
import { realpath, stat } from "node:fs/promises";
import { basename, dirname, resolve } from "node:path";
import { Command, Option } from "commander";
import {
  type ConvertPlan,
  convert,
  type DownloadPlan,
  headReport,
  OUTPUT_TYPES,
  type OutputType,
  type PlannedTensor,
  PROFILE_NAMES,
  planCheckpoint,
} from "../index.ts";
import { given, interruptible } from "./arguments.ts";
import { say, UsageError } from "./exit.ts";
import { factLines, formatBytes, headWords, tableLines } from "./format.ts";
import { addHubOptions, addTokenizerOption, type HubCommandOptions, hubOptions, planSentence } from "./hub-options.ts";
import { ProgressLine, stageProgress } from "./progress.ts";
import { writeLines } from "./stdout.ts";

interface ConvertCommandOptions extends HubCommandOptions {
  readonly output?: string;
  readonly tokenizer?: string;
  readonly profile?: string;
  readonly type?: OutputType;
  readonly dryRun?: true;
}

export function convertCommand(): Command {
  const command = new Command("convert")
    .summary("convert a published checkpoint to one GGUF file")
    .description(
      "Convert a published checkpoint to one GGUF file: backbone, tokenizer and score head. What is on the hub is " +
        "downloaded as it is converted.",
    )
    .argument("<checkpoint>", "the directory with the checkpoint's files, or owner/name[@revision] on the hub")
    .option("-o, --output <file>", "the .gguf to write; a file that is there is replaced when the new one is complete")
    .option("--profile <name>", `the model family, where its name does not tell: ${PROFILE_NAMES}`)
    .addOption(
      new Option(
        "--type <type>",
        "element type of the matrices; auto, the default for a directory, keeps the checkpoint's own; q8_0 is the hub's",
      ).choices(OUTPUT_TYPES),
    )
    .option("--dry-run", "print what would be done; download no weights and write nothing");
  addTokenizerOption(command);
  addHubOptions(command);
  return command.action(run);
}

async function run(source: string, options: ConvertCommandOptions): Promise<void> {
  const { output, tokenizer, profile, type } = options;
  const line = new ProgressLine();
  const conversion = {
    ...given({ tokenizer, profile, type }),
    ...hubOptions(options),
    onWarning: (message: string) => line.say(`warning: ${message}`),
    onPlan: (plan: DownloadPlan) => line.say(planSentence(plan)),
  };
  if (options.dryRun) {
    const plan = await interruptible((signal) => planCheckpoint(source, { ...conversion, signal }));
    warn(plan);
    return writeLines(planLines(plan));
  }
  if (output === undefined) throw new UsageError("convert needs -o <file>: the .gguf to write (or --dry-run).");
  await refuseInputs(output, [source, ...(tokenizer === undefined ? [] : [tokenizer])]);
  const plan = await interruptible((signal) =>
    convert(source, output, { ...conversion, signal, onProgress: stageProgress(line) }),
  ).finally(() => line.end());
  warn(plan);
  const { size } = await stat(output);
  await writeLines(factLines([["wrote", output], ["size", formatBytes(size)], ...planFacts(plan)]));
}

function warn({ warnings }: ConvertPlan): void {
  for (const warning of warnings) say(`warning: ${warning}`);
}

/** A slip of the keyboard must not cost a checkpoint: its own files are no place for the output. */
async function refuseInputs(output: string, directories: readonly string[]): Promise<void> {
  const existing = await stat(output).catch(() => null);
  if (!existing) return;
  if (existing.isDirectory()) throw new UsageError(`-o ${output} is a directory. Name the file to write.`);
  const folder = await realpath(dirname(resolve(output)));
  for (const directory of directories) {
    const input = await realpath(directory).catch(() => null);
    if (input === folder && !output.endsWith(".gguf"))
      throw new UsageError(`-o ${output} would replace ${basename(output)} of the checkpoint. Name another file.`);
  }
}

function planFacts({ layout, profile, head, type, tensors }: ConvertPlan): [string, string][] {
  return [
    ["layout", layout],
    ["profile", `${profile.name} (${head.type}: ${profile.meaning})`],
    ["head", `${headWords(headReport(head))}, read: ${head.read}`],
    ["normaliser", head.normalizer?.function ?? "none"],
    ["max length", String(head.maxLength)],
    ["type", type],
    ["tensors", String(tensors.length)],
  ];
}

function planLines(plan: ConvertPlan): string[] {
  const { baseType, type, metadata, tensors, ignored } = plan;
  const bytes = tensors.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const isFinal = type === baseType.toLowerCase();
  const size = `${formatBytes(bytes)} of tensors in ${baseType}${isFinal ? "" : `, then quantised to ${type}`}`;
  return [
    ...factLines([...planFacts(plan), ["size", size], ["ignored", ignored.length === 0 ? "none" : ignored.join(", ")]]),
    "",
    "tensors:",
    ...tableLines(
      tensors.map(({ name, dims, type, source }) => [
        `  ${name}`,
        `[${dims.join(", ")}]`,
        type,
        describeSource(source),
      ]),
    ),
    "",
    "keys:",
    ...tableLines([...metadata].map(([key, value]) => [`  ${key}`, describeValue(value)])),
  ];
}

function describeSource(source: PlannedTensor["source"]): string {
  if (source.kind === "numbers") return "from config.json";
  const { tensor, blocks, scale, offset } = source;
  const taken = blocks?.reduce((rows, { count }) => rows + count, 0) ?? tensor.shape[0];
  const part = taken === tensor.shape[0] ? "" : `${taken} rows of `;
  const changes = [scale !== 1 && `times ${scale}`, offset !== 0 && `plus ${offset}`].filter(Boolean).join(", ");
  return `from ${part}${tensor.name} (${tensor.dtype}, ${basename(tensor.file)})${changes && `, ${changes}`}`;
}

const SHOWN_CHARACTERS = 60;

function describeValue(value: ConvertPlan["metadata"] extends ReadonlyMap<string, infer V> ? V : never): string {
  if (value.type === "array") {
    const items = value.value.length <= 12 ? ` ${Array.from(value.value as ArrayLike<unknown>).join(", ")}` : "";
    return `${value.of}[${value.value.length}]${items}`;
  }
  const text = value.type === "string" ? JSON.stringify(value.value) : String(value.value);
  return text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS)}… (${text.length} characters)` : text;
}
