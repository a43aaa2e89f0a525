/** Help, versions and wrong usage of every command. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { runCli } from "./run.ts";

const COMMANDS = [
  "convert",
  "quantize",
  "inspect",
  "score",
  "rank",
  "list",
  "remove",
  "prune",
  "doctor",
  "build-runtime",
] as const;
const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
  version: string;
};

describe("help and version", () => {
  test.concurrent("the program's help names every command and the exit codes", async () => {
    const { code, stdout, stderr } = await runCli(["--help"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    for (const command of COMMANDS) expect(stdout).toContain(`  ${command} `);
    expect(stdout).toContain("3 a --fail-above or --fail-below gate tripped");
  });

  test.concurrent("the program's version is the package's", async () => {
    expect(await runCli(["--version"])).toMatchObject({ code: 0, stdout: `${version}\n`, stderr: "" });
  });

  test.concurrent.each(COMMANDS)("%s has both", async (command) => {
    const [help, own] = await Promise.all([runCli([command, "--help"]), runCli([command, "--version"])]);
    expect(help).toMatchObject({ code: 0, stderr: "" });
    expect(help.stdout).toContain(`Usage: scorehead ${command}`);
    expect(own).toMatchObject({ code: 0, stdout: `${version}\n` });
  });
});

/** Each is refused before any file is looked at. */
const WRONG: readonly (readonly [what: string, args: readonly string[], message: string])[] = [
  ["no command", [], "Usage: scorehead"],
  ["an unknown command", ["rate"], "unknown command 'rate'"],
  ["an unknown option", ["score", "m.gguf", "--tekst", "a"], "unknown option '--tekst'"],
  ["a missing argument", ["score", "--text", "a"], "missing required argument 'model'"],
  ["a superfluous argument", ["inspect", "a.gguf", "b.gguf"], "too many arguments"],
  ["score without texts", ["score", "m.gguf"], "Name the texts by one of"],
  ["score with two kinds of texts", ["score", "m.gguf", "--text", "a", "--input", "-"], "Name the texts by one of"],
  ["a prompt alone", ["score", "m.gguf", "--prompt", "a"], "--prompt and --response belong together"],
  ["a response alone", ["score", "m.gguf", "--response", "a"], "--prompt and --response belong together"],
  ["hidden states without --json", ["score", "m.gguf", "--text", "a", "--hidden", "end"], "--hidden needs --json"],
  ["a wrong word", ["score", "m.gguf", "--text", "a", "--read", "first"], "Allowed choices are last-token, card"],
  ["no number", ["score", "m.gguf", "--text", "a", "--threads", "two"], "a whole number from 1 up"],
  ["a negative length", ["score", "m.gguf", "--text", "a", "--max-length", "-1"], "a whole number from 1 up"],
  ["an infinite gate", ["score", "m.gguf", "--text", "a", "--fail-above", "Infinity"], "a finite number"],
  [
    "two gates",
    ["score", "m.gguf", "--text", "a", "--fail-above", "1", "--fail-below", "0"],
    "cannot be used with option",
  ],
  ["a number of threads beyond reason", ["score", "m.gguf", "--text", "a", "--threads", "9999"], '"threads" has to be'],
  ["a part of a layer", ["score", "m.gguf", "--text", "a", "--gpu-layers", "1.5"], "a whole number from -1 up"],
  ["shares that are none", ["score", "m.gguf", "--text", "a", "--tensor-split", "1,,2"], "a finite number"],
  ["rank without answers", ["rank", "m.gguf"], "Name the answers by one of"],
  ["rank with two kinds of answers", ["rank", "m.gguf", "--prompt", "a", "--input", "-"], "Name the answers by one of"],
  ["a prompt without answers", ["rank", "m.gguf", "--prompt", "a"], "--prompt and --response belong together"],
  ["answers without a prompt", ["rank", "m.gguf", "--response", "a"], "--prompt and --response belong together"],
  ["doctor's sizes without a model", ["doctor", "--context", "4096"], "name one"],
  ["doctor offline without a model", ["doctor", "--offline"], "name one"],
  ["remove without a name", ["remove"], "missing required argument 'name'"],
  ["convert without output", ["convert", "dir"], "convert needs -o"],
  ["convert onto a directory", ["convert", "dir", "-o", "."], "is a directory"],
  ["an unknown type", ["convert", "dir", "-o", "a.gguf", "--type", "q9"], "Allowed choices are auto, f32"],
  ["quantize without type", ["quantize", "a.gguf", "-o", "b.gguf"], "needs -o <file> and --type"],
  ["quantize to an unquantised type", ["quantize", "a.gguf", "-o", "b.gguf", "--type", "f16"], "Allowed choices are"],
  ["an unknown GPU kind", ["build-runtime", "--gpu", "opengl"], "Allowed choices are cuda, metal, vulkan, none"],
];

describe("wrong usage", () => {
  test.concurrent.each(WRONG)("%s exits with 2 and a reason on stderr", async (_, args, message) => {
    const { code, stdout, stderr } = await runCli(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain(message);
  });
});
