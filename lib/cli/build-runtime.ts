/** `scorehead build-runtime`: llama.cpp's libraries from source. */
import { Command, Option } from "commander";
import { BUILD_KINDS, buildRuntime } from "../index.ts";
import { given, interruptible } from "./arguments.ts";
import { say } from "./exit.ts";
import { factLines } from "./format.ts";
import { writeLines } from "./stdout.ts";

interface BuildCommandOptions {
  readonly gpu: (typeof BUILD_KINDS)[number];
  readonly native?: true;
}

export function buildRuntimeCommand(): Command {
  return new Command("build-runtime")
    .summary("build llama.cpp's libraries from source")
    .description(
      "Build llama.cpp's libraries from the sources in its npm package into the user's cache, where they are found " +
        "first from then on. Needs npm, git, tar, CMake and a C++ compiler; takes minutes, with a GPU more.",
    )
    .addOption(new Option("--gpu <kind>", "the GPU kind to build a backend for").choices(BUILD_KINDS).default("none"))
    .option("--native", "build for this machine's CPU only, which is quicker; default: for every CPU generation")
    .action(run);
}

async function run({ gpu, native }: BuildCommandOptions): Promise<void> {
  const built = await interruptible((signal) => buildRuntime({ ...given({ gpu, native }), signal, onLine: say }));
  await writeLines(
    factLines([
      ["built", built.directory],
      ["llama.cpp", built.version],
      ["libraries", built.files.join(", ")],
    ]),
  );
}
