/** `scorehead attach`: a GGUF file and a head → one GGUF file. */
import { stat } from "node:fs/promises";
import { Command } from "commander";
import { type AttachResult, attach, headReport } from "../index.ts";
import { given, interruptible } from "./arguments.ts";
import { say } from "./exit.ts";
import { factLines, formatBytes, headWords } from "./format.ts";
import { addHeadOptions, addProfileOption, addReadOption, type HeadCommandOptions } from "./model-options.ts";
import { ProgressLine, stageProgress } from "./progress.ts";
import { writeLines } from "./stdout.ts";

interface AttachCommandOptions extends HeadCommandOptions {
  readonly output?: string;
}

export function attachCommand(): Command {
  const command = new Command("attach")
    .summary("give any GGUF model a score head")
    .description(
      "Write a GGUF file with a score head: a copy of any model's, or the file itself. The head has to be of this very " +
        "model; of another one of the same sizes it gives numbers that mean nothing.",
    )
    .argument("<backbone.gguf>", "the model; one with a classifier (cls.output.weight) needs no --head")
    .option(
      "-o, --output <file>",
      "the .gguf to write; default: the file itself, replaced when the new one is complete",
    );
  addHeadOptions(command);
  addProfileOption(command, "the head's model family, where its name does not tell");
  addReadOption(command);
  return command
    .option("--tokenizer <dir>", "the checkpoint's tokenizer files, for a model that another tool converted")
    .action(run);
}

async function run(backbone: string, { output = backbone, ...options }: AttachCommandOptions): Promise<void> {
  const { head, tokenizer, profile, type, labels, read } = options;
  const line = new ProgressLine();
  const result = await interruptible((signal) =>
    attach(backbone, output, {
      ...given({ head, tokenizer, profile, type, labels, read }),
      signal,
      onProgress: stageProgress(line),
    }),
  ).finally(() => line.end());
  for (const warning of result.warnings) say(`warning: ${warning}`);
  const { size } = await stat(output);
  await writeLines(factLines([["wrote", output], ["size", formatBytes(size)], ...headFacts(result)]));
}

function headFacts({ head, dropped }: AttachResult): [string, string | null][] {
  return [
    ["profile", head.profile],
    ["head", `${headWords(headReport(head))}, ${head.type}, read: ${head.read}`],
    ["labels", head.labels.join(", ")],
    ["max length", String(head.maxLength)],
    ["dropped", dropped.length === 0 ? null : dropped.join(", ")],
  ];
}
