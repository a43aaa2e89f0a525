/** `scorehead inspect`: what a GGUF file or a checkpoint directory is. */
import { basename } from "node:path";
import { Command } from "commander";
import { type HeadReport, type InspectReport, inspect, PROFILE_NAMES, type TokenizerReport } from "../index.ts";
import { given } from "./arguments.ts";
import { EXIT, say } from "./exit.ts";
import { type Fact, factLines, formatBytes, formatCount, headWords } from "./format.ts";
import { addOfflineOption, addTokenizerOption } from "./hub-options.ts";
import { writeLines } from "./stdout.ts";

export function inspectCommand(): Command {
  const command = new Command("inspect")
    .summary("describe a GGUF file or a checkpoint")
    .description(
      "Describe a GGUF file, a checkpoint's directory, or a repository on the hub, of which no weights are downloaded; " +
        "and tell whether it can be scored with or converted. If not, name the tensors, the tokenizer's rules and the " +
        "config's keys that stand in the way, and end with exit code 1.",
    )
    .argument("<file.gguf | checkpoint-dir | owner/name>", "what to describe")
    .option("--profile <name>", `for a checkpoint: the profile to convert with: ${PROFILE_NAMES}`)
    .option("--json", "print the facts as one JSON object");
  addTokenizerOption(command);
  addOfflineOption(command);
  return command.action(run);
}

interface InspectCommandOptions {
  readonly json?: true;
  readonly tokenizer?: string;
  readonly profile?: string;
  readonly offline?: true;
}

async function run(path: string, { json, tokenizer, profile, offline }: InspectCommandOptions): Promise<void> {
  const report = await inspect(path, {
    ...given({ tokenizer, profile, offline }),
    onWarning: (message) => say(`warning: ${message}`),
  });
  await writeLines(json ? [JSON.stringify(report)] : reportLines(report));
  for (const warning of report.warnings) say(`warning: ${warning}`);
  if (report.problems.length === 0) return;
  const verdict = report.kind === "gguf" ? "It cannot be scored with" : "It cannot be converted";
  for (const { code, message } of report.problems) say(`${verdict}: ${message} (${code})`);
  process.exitCode = EXIT.failed;
}

function reportLines(report: InspectReport): string[] {
  const { path, kind, layout, fileType, bytes, parameters, tensors, tensorTypes, files, backbone } = report;
  const types = Object.entries(tensorTypes).map(([type, count]) => `${count} ${type}`);
  return factLines([
    ["path", path],
    ["kind", kind === "gguf" ? "GGUF file" : "checkpoint"],
    ["layout", layout],
    ["file type", fileType],
    ["weights", `${formatBytes(bytes)}, ${formatCount(parameters)} parameters`],
    ["tensors", `${tensors} (${types.join(", ") || "none"})`],
    ["files", kind === "gguf" ? null : files.map((file) => basename(file)).join(", ") || "none"],
    ["architecture", backbone?.architecture],
    [
      "backbone",
      backbone &&
        `${backbone.layers} layers, hidden size ${backbone.hiddenSize}, ${backbone.vocabularySize} tokens, ` +
          `${backbone.contextLength} positions`,
    ],
    ...headFacts(report.head),
    ...tokenizerFacts(report.tokenizer),
    ["verdict", report.problems.length > 0 ? null : kind === "gguf" ? "ready to score" : "converts"],
  ]);
}

function headFacts(head: HeadReport | null): Fact[] {
  if (!head) return [["head", "none that can be read"]];
  const { repository, revision } = head.source;
  return [
    ["profile", head.profile],
    ["head", `${headWords(head)}, ${head.type}`],
    ["labels", head.labels.join(", ")],
    ["read", head.read],
    ["normaliser", head.normalizer ?? "none"],
    ["max length", `${head.maxLength} tokens, cut from the ${head.truncationSide}`],
    ["source", repository === "" ? null : `${repository}${revision === "" ? "" : ` at ${revision}`}`],
  ];
}

function tokenizerFacts(tokenizer: TokenizerReport | null): Fact[] {
  if (!tokenizer) return [["tokenizer", "none that can be read"]];
  const { addBos, addEos, bosId, eosId, unkId, padId, derived } = tokenizer;
  const style =
    tokenizer.preTokenizer === null
      ? `space prefix: ${tokenizer.spacePrefix}`
      : `byte-level: ${tokenizer.preTokenizer}`;
  const ids = Object.entries({ bos: bosId, eos: eosId, unk: unkId, pad: padId });
  return [
    ["tokenizer", `${tokenizer.vocabularySize} tokens, ${style}`],
    [
      "tokenizer rules",
      derived ? "not all in the file: texts that depend on the rest are refused (--tokenizer)" : null,
    ],
    ["special ids", ids.map(([name, id]) => `${name} ${id ?? "none"}`).join(", ")],
    ["adds", [addBos && "bos", addEos && "eos"].filter(Boolean).join(" and ") || "nothing"],
    ["added tokens", tokenizer.addedTokens.map((token) => JSON.stringify(token)).join(" ") || "none"],
  ];
}
