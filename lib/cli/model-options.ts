/** The options of the commands that compute with a model: which one, on what, and how texts are read. */
import { type Command, Option } from "commander";
import {
  ACCEL_CHOICES,
  DEVICE_CHOICES,
  type LoadOptions,
  PROFILE_NAMES,
  READ_POSITIONS,
  ScoreModel,
  type ScoreOptions,
} from "../index.ts";
import { finiteNumbers, given, interruptible, wholeNumber } from "./arguments.ts";
import { conversionProgress, ProgressLine } from "./progress.ts";

type DeviceOptions = Pick<LoadOptions, "device" | "kv" | "context" | "accel">;

export interface ModelOptions
  extends DeviceOptions,
    Pick<LoadOptions, "profile" | "tokenizer" | "threads" | "gpuLayers" | "mainGpu" | "tensorSplit">,
    Pick<ScoreOptions, "read" | "maxLength" | "truncate" | "appendEos"> {}

export const MODEL_ARGUMENT: readonly [name: string, description: string] = [
  "<model>",
  "a .gguf file, or a checkpoint's directory, which is converted into the cache once",
];

export function addModelOptions(command: Command): void {
  command
    .option("--profile <name>", `another profile than the file's own: ${PROFILE_NAMES}`)
    .addOption(
      new Option("--read <position>", "where to read the score; default: the profile's").choices(READ_POSITIONS),
    )
    .option("--max-length <tokens>", "cut texts to this many tokens", wholeNumber(1))
    .addOption(new Option("--truncate <side>", "the end to cut; default: the profile's").choices(["left", "right"]))
    .option("--append-eos", "append the EOS token, except to tokenIds");
  addTokenizerOption(command);
  addDeviceOptions(command);
  command
    .option("--threads <count>", "computing threads; default: all that this process may use", wholeNumber(1))
    .option("--gpu-layers <count>", "layers to keep on the GPU, -1 for all; default: as many as fit", wholeNumber(-1))
    .option("--main-gpu <index>", "use this one of several GPUs, counted from 0; default: all", wholeNumber(0))
    .option("--tensor-split <a,b,…>", "shares of the model for each of several GPUs, e.g. 3,1", finiteNumbers);
}

export function addTokenizerOption(command: Command): void {
  command.option("--tokenizer <dir>", "the base model's directory, for a checkpoint without tokenizer or config");
}

export function addDeviceOptions(command: Command): void {
  command
    .addOption(new Option("--device <kind>", "what to compute on; default: auto").choices(DEVICE_CHOICES))
    .addOption(new Option("--kv <type>", "precision of the KV cache; default: f16").choices(["f16", "f32"]))
    .option(
      "--context <tokens>",
      "size of the KV cache; default: the model's length where memory allows",
      wholeNumber(1),
    )
    .addOption(
      new Option("--accel <choice>", "scorehead's own kernels on the CPU; default: auto, where they help").choices(
        ACCEL_CHOICES,
      ),
    );
}

/** Loads the model. The first conversion of a directory shows how far it is; Ctrl-C leaves nothing of it. */
export async function loadModel(path: string, options: ModelOptions): Promise<ScoreModel> {
  const { profile, tokenizer, device, kv, context, accel, threads, gpuLayers, mainGpu, tensorSplit } = options;
  const line = new ProgressLine();
  try {
    return await interruptible((signal) =>
      ScoreModel.load(path, {
        ...given({ profile, tokenizer, device, kv, context, accel, threads, gpuLayers, mainGpu, tensorSplit }),
        onWarning: (message) => line.say(`warning: ${message}`),
        onProgress: conversionProgress(line),
        signal,
      }),
    );
  } finally {
    line.end();
  }
}

/** How texts are read. */
export function textOptions({
  read,
  maxLength,
  truncate,
  appendEos,
}: ModelOptions): Pick<ScoreOptions, "read" | "maxLength" | "truncate" | "appendEos"> {
  return given({ read, maxLength, truncate, appendEos });
}
