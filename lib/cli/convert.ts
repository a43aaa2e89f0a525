/** `scorehead convert`: a published checkpoint → one GGUF file. */
import { realpath, stat } from "node:fs/promises";
import { basename, dirname, resolve } from "node:path";
import { Command, Option } from "commander";
import {
  type ConvertPlan,
  convert,
  OUTPUT_TYPES,
  type OutputType,
  type PlannedTensor,
  PROFILE_NAMES,
  planCheckpoint,
} from "../index.ts";
import { given, interruptible } from "./arguments.ts";
import { say, UsageError } from "./exit.ts";
import { factLines, formatBytes, tableLines } from "./format.ts";
import { conversionProgress, ProgressLine } from "./progress.ts";
import { writeLines } from "./stdout.ts";

interface ConvertCommandOptions {
  readonly output?: string;
  readonly tokenizer?: string;
  readonly profile?: string;
  readonly type: OutputType;
  readonly dryRun?: true;
}

export function convertCommand(): Command {
  return new Command("convert")
    .summary("convert a published checkpoint to one GGUF file")
    .description("Convert a published checkpoint's directory to one GGUF file: backbone, tokenizer and score head.")
    .argument("<checkpoint-dir>", "the directory with the checkpoint's files")
    .option("-o, --output <file>", "the .gguf to write; a file that is there is replaced when the new one is complete")
    .option("--tokenizer <dir>", "the base model's directory, for a checkpoint without tokenizer or config (Starling)")
    .option("--profile <name>", `the model family, where its name does not tell: ${PROFILE_NAMES}`)
    .addOption(
      new Option("--type <type>", "element type of the matrices; auto keeps the checkpoint's own")
        .choices(OUTPUT_TYPES)
        .default("auto"),
    )
    .option("--dry-run", "print what would be done, and write nothing")
    .action(run);
}

async function run(directory: string, options: ConvertCommandOptions): Promise<void> {
  const { output, tokenizer, profile, type } = options;
  const conversion = given({ tokenizer, profile, type });
  if (options.dryRun) {
    const plan = await planCheckpoint(directory, conversion);
    warn(plan);
    return writeLines(planLines(plan, type));
  }
  if (output === undefined) throw new UsageError("convert needs -o <file>: the .gguf to write (or --dry-run).");
  await refuseInputs(output, [directory, ...(tokenizer === undefined ? [] : [tokenizer])]);
  const line = new ProgressLine();
  const plan = await interruptible((signal) =>
    convert(directory, output, { ...conversion, signal, onProgress: conversionProgress(line) }),
  ).finally(() => line.end());
  warn(plan);
  const { size } = await stat(output);
  await writeLines(factLines([["wrote", output], ["size", formatBytes(size)], ...planFacts(plan, type)]));
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

function planFacts({ layout, profile, head, baseType, tensors }: ConvertPlan, type: OutputType): [string, string][] {
  return [
    ["layout", layout],
    ["profile", `${profile.name} (${head.type}: ${profile.meaning})`],
    ["head", `${head.outputs} x ${head.hiddenSize}${head.bias ? " with bias" : ""}, read: ${head.read}`],
    ["normaliser", head.normalizer?.function ?? "none"],
    ["max length", String(head.maxLength)],
    ["type", type === "auto" ? baseType.toLowerCase() : type],
    ["tensors", String(tensors.length)],
  ];
}

function planLines(plan: ConvertPlan, type: OutputType): string[] {
  const { baseType, metadata, tensors, ignored } = plan;
  const bytes = tensors.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const isFinal = type === "auto" || type === baseType.toLowerCase();
  const size = `${formatBytes(bytes)} of tensors in ${baseType}${isFinal ? "" : `, then quantised to ${type}`}`;
  return [
    ...factLines([
      ...planFacts(plan, type),
      ["size", size],
      ["ignored", ignored.length === 0 ? "none" : ignored.join(", ")],
    ]),
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
