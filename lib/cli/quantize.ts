/** `scorehead quantize`: a smaller GGUF file from an unquantised one, or what each type would cost it. */
import { realpath, stat } from "node:fs/promises";
import { Command, InvalidArgumentError, Option } from "commander";
import {
  type LoadOptions,
  QUANTIZED_TYPES,
  type QuantizedType,
  quantize,
  TENSOR_TYPES,
  type TensorType,
  type TensorTypes,
} from "../index.ts";
import { given, interruptible, wholeNumber } from "./arguments.ts";
import { UsageError } from "./exit.ts";
import { factLines, formatBytes } from "./format.ts";
import { addDeviceOptions } from "./model-options.ts";
import { ProgressLine, stageProgress } from "./progress.ts";
import { report } from "./quantize-report.ts";
import { writeLines } from "./stdout.ts";

export interface QuantizeCommandOptions extends Pick<LoadOptions, "device" | "kv" | "context" | "threads"> {
  readonly output?: string;
  readonly type?: QuantizedType;
  readonly tensorType?: TensorTypes;
  /** true: without a file, the built-in texts. */
  readonly report?: string | true;
  readonly types?: readonly QuantizedType[];
  readonly json?: true;
}

const TYPES = Object.keys(QUANTIZED_TYPES);

export function quantizeCommand(): Command {
  const command = new Command("quantize")
    .summary("quantise a GGUF file, or report what each type would cost")
    .description(
      "Quantise the matrices of a GGUF file with llama.cpp's own quantiser; the score head stays in float32. With " +
        "--report nothing is kept: texts are scored with the file and with each type of it, and the table shows how " +
        "well the scores agree, beside size and speed.",
    )
    .argument("<in.gguf>", "a file of type f32, f16 or bf16")
    .option("-o, --output <file>", "the .gguf to write; a file that is there is replaced when it is complete")
    .addOption(new Option("--type <type>", "the quantised type").choices(TYPES))
    .option(
      "--tensor-type <name=type>",
      `another type (${Object.keys(TENSOR_TYPES).join(", ")}) for the matrices with this part in their names, as ` +
        "attn_v=q8_0 or blk.0=f16; may be given several times, the first that fits decides",
      tensorType,
    )
    .option("--report [file.jsonl]", "compare the types on these lines, as of score --input; default: built-in texts")
    .option("--types <a,b,…>", "with --report: the types to compare; default: all", quantizedTypes)
    .option("--json", "with --report: print one JSON object")
    .option("--threads <count>", "with --report: computing threads", wholeNumber(1));
  addDeviceOptions(command);
  return command.action(run);
}

function tensorType(text: string, previous: TensorTypes = {}): TensorTypes {
  const [, name, type] = text.match(/^([^=]+)=(\w+)$/) ?? [];
  if (name === undefined || type === undefined || !Object.hasOwn(TENSOR_TYPES, type))
    throw new InvalidArgumentError(`It has to be <name>=<type>, with ${Object.keys(TENSOR_TYPES).join(", ")}.`);
  if (Object.hasOwn(previous, name)) throw new InvalidArgumentError(`${name} comes twice.`);
  return { ...previous, [name]: type as TensorType };
}

function quantizedTypes(text: string): QuantizedType[] {
  const types = text.split(",");
  if (types.every((type) => TYPES.includes(type))) return types as QuantizedType[];
  throw new InvalidArgumentError(`Allowed choices are ${TYPES.join(", ")}.`);
}

async function run(input: string, options: QuantizeCommandOptions): Promise<void> {
  const { output, type, tensorType: tensorTypes, report: texts, types, json, ...loading } = options;
  if (texts !== undefined) {
    if (output !== undefined || type !== undefined)
      throw new UsageError("--report writes no file: leave out -o and --type (--types says which to compare).");
    return report(input, options, texts);
  }
  const [stray] = Object.keys(given({ types, json, ...loading }));
  if (stray !== undefined) throw new UsageError(`--${stray} goes with --report.`);
  if (output === undefined || type === undefined)
    throw new UsageError("quantize needs -o <file> and --type, or --report.");
  if (await isSameFile(input, output))
    throw new UsageError(`-o ${output} is the input itself, which is still needed: name another file.`);
  const line = new ProgressLine();
  await interruptible((signal) =>
    quantize(input, output, { type, ...given({ tensorTypes }), signal, onProgress: stageProgress(line) }),
  ).finally(() => line.end());
  const [before, after] = await Promise.all([stat(input), stat(output)]);
  await writeLines(
    factLines([
      ["wrote", output],
      ["type", type],
      ["size", `${formatBytes(after.size)}, from ${formatBytes(before.size)}`],
    ]),
  );
}

async function isSameFile(a: string, b: string): Promise<boolean> {
  const [first, second] = await Promise.all([a, b].map((path) => realpath(path).catch(() => null)));
  return first !== null && first === second;
}
