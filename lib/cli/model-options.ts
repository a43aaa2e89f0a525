/** The options of the commands that compute with a model: which one, on what, and how texts are read. */
import { type Command, InvalidArgumentError, Option } from "commander";
import {
  ACCEL_CHOICES,
  type AttachOptions,
  DEVICE_CHOICES,
  isReadPosition,
  type LoadOptions,
  PROFILE_NAMES,
  READ_POSITION_WORDS,
  type ReadPosition,
  SCORE_TYPES,
  ScoreModel,
  type ScoreOptions,
} from "../index.ts";
import { finiteNumbers, given, interruptible, wholeNumber } from "./arguments.ts";
import { addHubOptions, addTokenizerOption, type HubCommandOptions, hubOptions, planSentence } from "./hub-options.ts";
import { ProgressLine, stageProgress } from "./progress.ts";

type DeviceOptions = Pick<LoadOptions, "device" | "kv" | "context" | "accel">;

/** A head that is attached, and what it means. */
export type HeadCommandOptions = Pick<AttachOptions, "head" | "tokenizer" | "profile" | "type" | "labels" | "read">;

export interface ModelOptions
  extends DeviceOptions,
    HeadCommandOptions,
    HubCommandOptions,
    Pick<LoadOptions, "threads" | "gpuLayers" | "mainGpu" | "tensorSplit">,
    Pick<ScoreOptions, "maxLength" | "truncate" | "appendEos"> {}

export const MODEL_ARGUMENT: readonly [name: string, description: string] = [
  "<model>",
  "a .gguf file, or a checkpoint's directory or owner/name[@revision][:type] on the hub, which are converted into the cache once",
];

export function addModelOptions(command: Command): void {
  addHeadOptions(command);
  addProfileOption(command, "another profile than the file's own");
  addReadOption(command);
  command
    .option("--max-length <tokens>", "cut texts to this many tokens", wholeNumber(1))
    .addOption(new Option("--truncate <side>", "the end to cut; default: the profile's").choices(["left", "right"]))
    .option("--append-eos", "append the EOS token, except to tokenIds");
  addTokenizerOption(command);
  addHubOptions(command);
  addDeviceOptions(command);
  command
    .option("--threads <count>", "computing threads; default: all that this process may use", wholeNumber(1))
    .option("--gpu-layers <count>", "layers to keep on the GPU, -1 for all; default: as many as fit", wholeNumber(-1))
    .option("--main-gpu <index>", "use this one of several GPUs, counted from 0; default: all", wholeNumber(0))
    .option("--tensor-split <a,b,…>", "shares of the model for each of several GPUs, e.g. 3,1", finiteNumbers);
}

export function addHeadOptions(command: Command): void {
  command
    .option("--head <file | dir>", "a head for a .gguf without one: a safetensors file, or a directory that holds it")
    .addOption(new Option("--type <type>", "what that head's scores mean; default: the profile's").choices(SCORE_TYPES))
    .option("--labels <a,b,…>", "the names of that head's outputs", names);
}

export function addProfileOption(command: Command, purpose: string): void {
  command.option("--profile <name>", `${purpose}: ${PROFILE_NAMES}`);
}

export function addReadOption(command: Command): void {
  command.option(
    "--read <position>",
    `where to read the score: ${READ_POSITION_WORDS.join(", ")}; default: the profile's`,
    readPosition,
  );
}

function names(text: string): string[] {
  return text.split(",").map((name) => name.trim());
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

/** Loads the model. Getting and converting it shows how far it is; Ctrl-C leaves of it what was downloaded. */
export async function loadModel(path: string, options: ModelOptions): Promise<ScoreModel> {
  const { head, type, labels, profile, tokenizer, device, kv, context, accel } = options;
  const { threads, gpuLayers, mainGpu, tensorSplit } = options;
  const line = new ProgressLine();
  try {
    return await interruptible((signal) =>
      ScoreModel.load(path, {
        ...given({ head, type, labels, profile, tokenizer, device, kv, context, accel }),
        ...given({ threads, gpuLayers, mainGpu, tensorSplit }),
        ...hubOptions(options),
        onPlan: (plan) => line.say(planSentence(plan)),
        onWarning: (message) => line.say(`warning: ${message}`),
        onProgress: stageProgress(line),
        signal,
      }),
    );
  } finally {
    line.end();
  }
}

function readPosition(text: string): ReadPosition {
  if (isReadPosition(text)) return text;
  throw new InvalidArgumentError(`Allowed choices are ${READ_POSITION_WORDS.join(", ")}.`);
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
