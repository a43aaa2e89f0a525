#!/usr/bin/env node
/** The command line: one file a command; stdout is data, stderr is talk. */
import { Command, CommanderError } from "commander";
import { version } from "../index.ts";
import { attachCommand } from "./attach.ts";
import { buildRuntimeCommand } from "./build-runtime.ts";
import { convertCommand } from "./convert.ts";
import { doctorCommand } from "./doctor.ts";
import { EXIT, reportFailure } from "./exit.ts";
import { inspectCommand } from "./inspect.ts";
import { listCommand } from "./list.ts";
import { pruneCommand } from "./prune.ts";
import { quantizeCommand } from "./quantize.ts";
import { rankCommand } from "./rank.ts";
import { removeCommand } from "./remove.ts";
import { scoreCommand } from "./score.ts";
import { endOnOutputErrors } from "./stdout.ts";

const EXIT_CODES = `
Exit codes: 0 success, 1 an input or the job failed, 2 wrong usage, 3 a --fail-above or --fail-below gate tripped.`;

const COMMANDS = [
  convertCommand,
  attachCommand,
  quantizeCommand,
  inspectCommand,
  scoreCommand,
  rankCommand,
  listCommand,
  removeCommand,
  pruneCommand,
  doctorCommand,
  buildRuntimeCommand,
] as const;

function program(): Command {
  const root = new Command("scorehead")
    .description("Run reward and cost models on your own machine: published checkpoint to GGUF to score.")
    .addHelpText("after", EXIT_CODES);
  for (const command of [root, ...COMMANDS.map((create) => create())]) {
    command.version(version).exitOverride();
    // Help after an error would push the error itself out of sight.
    command.showHelpAfterError("(--help shows the options)");
    if (command !== root) root.addCommand(command);
  }
  return root;
}

async function main(): Promise<void> {
  endOnOutputErrors();
  try {
    await program().parseAsync();
  } catch (error) {
    // commander has told its own errors, and counts wrong usage as 1.
    if (!(error instanceof CommanderError)) process.exitCode = reportFailure(error);
    else if (error.exitCode !== 0) process.exitCode = EXIT.usage;
  }
}

await main();
