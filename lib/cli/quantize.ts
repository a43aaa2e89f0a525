/** `scorehead quantize`: a smaller GGUF file from an unquantised one. */
import { realpath, stat } from "node:fs/promises";
import { Command, Option } from "commander";
import { QUANTIZED_TYPES, type QuantizedType, quantize } from "../index.ts";
import { interruptible } from "./arguments.ts";
import { UsageError } from "./exit.ts";
import { factLines, formatBytes } from "./format.ts";
import { ProgressLine, stageProgress } from "./progress.ts";
import { writeLines } from "./stdout.ts";

export function quantizeCommand(): Command {
  return new Command("quantize")
    .summary("quantise a GGUF file")
    .description(
      "Quantise the matrices of a GGUF file with llama.cpp's own quantiser; the score head stays in float32.",
    )
    .argument("<in.gguf>", "a file of type f32, f16 or bf16")
    .requiredOption("-o, --output <file>", "the .gguf to write; a file that is there is replaced when it is complete")
    .addOption(
      new Option("--type <type>", "the quantised type").choices(Object.keys(QUANTIZED_TYPES)).makeOptionMandatory(),
    )
    .action(run);
}

async function run(input: string, { output, type }: { output: string; type: QuantizedType }): Promise<void> {
  if (await isSameFile(input, output))
    throw new UsageError(`-o ${output} is the input itself, which is still needed: name another file.`);
  const line = new ProgressLine();
  await interruptible((signal) => quantize(input, output, { type, signal, onProgress: stageProgress(line) })).finally(
    () => line.end(),
  );
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
