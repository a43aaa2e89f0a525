/** `scorehead doctor`: what this machine offers, and what a model would use of it. */
import { Command } from "commander";
import { type DoctorModel, type DoctorOptions, type DoctorReport, doctor } from "../index.ts";
import { given } from "./arguments.ts";
import { EXIT, say, UsageError } from "./exit.ts";
import { factLines, formatBytes } from "./format.ts";
import { addOfflineOption, addTokenizerOption } from "./hub-options.ts";
import { addDeviceOptions } from "./model-options.ts";
import { writeLines } from "./stdout.ts";

interface DoctorCommandOptions extends DoctorOptions {
  readonly json?: true;
}

export function doctorCommand(): Command {
  const command = new Command("doctor")
    .summary("show what is found on this machine")
    .description(
      "Show the llama.cpp libraries, devices, memory and versions that are found here, and what a model would use, as " +
        "loaded with the same --device, --kv, --context and --accel. Exit code 1 where something is missing, or does not fit.",
    )
    .argument(
      "[model]",
      "a .gguf file, a checkpoint's directory, or owner/name on the hub, whose weights are not downloaded",
    )
    .option("--json", "print the facts as one JSON object");
  addTokenizerOption(command);
  addOfflineOption(command);
  addDeviceOptions(command);
  return command.action(run);
}

async function run(model: string | undefined, options: DoctorCommandOptions): Promise<void> {
  const { json, device, kv, context, accel, tokenizer, offline } = options;
  if (model === undefined && (kv ?? context ?? accel ?? tokenizer ?? offline) !== undefined)
    throw new UsageError("--kv, --context, --accel, --tokenizer and --offline are about a model: name one.");
  const report = await doctor(model, {
    ...given({ device, kv, context, accel, tokenizer, offline }),
    onWarning: (message) => say(`warning: ${message}`),
  });
  await writeLines(json ? [JSON.stringify(report)] : reportLines(report, device));
  for (const { code, message } of report.problems) say(`error: ${message} (${code})`);
  if (report.problems.length > 0) process.exitCode = EXIT.failed;
}

function reportLines(report: DoctorReport, device = "auto"): string[] {
  const { versions, runtime, cpu, memory } = report;
  return [
    ...factLines([
      ["scorehead", versions.scorehead],
      ["node", `${versions.node} on ${report.platform}`],
      ["addon", report.addonLoaded ? `loaded, made for llama.cpp ${versions.llamaCppExpected}` : "cannot be loaded"],
      ["llama.cpp", runtime ? `${versions.llamaCpp} (${runtime.origin})` : "no usable libraries"],
      ["libraries", runtime?.directory],
      ["cpu", cpu.model],
      ["cpu library", cpu.library],
      ["cpu features", cpu.features.join(", ") || null],
      ["accel", cpu.accelerator.kernels ?? `none: ${cpu.accelerator.reason}`],
      ["threads", String(cpu.threads)],
      ["memory", `${formatBytes(memory.freeBytes)} free of ${formatBytes(memory.totalBytes)}`],
      ["device", report.device && `${report.device}, what \`--device ${device}\` takes`],
      ["cache", report.cacheDirectory],
    ]),
    "",
    "devices:",
    ...(report.devices.length === 0 ? ["  none"] : report.devices.map(deviceLine)),
    "",
    "tried:",
    ...report.attempts.map(({ path, origin, outcome }) => `  ${path} (${origin}): ${outcome}`),
    ...(report.model ? ["", "model:", ...modelLines(report.model).map((line) => `  ${line}`)] : []),
  ];
}

function deviceLine({ name, description, backend, kind, freeBytes, totalBytes }: DoctorReport["devices"][0]): string {
  const memory = totalBytes === 0 ? "" : `, ${formatBytes(freeBytes)} free of ${formatBytes(totalBytes)}`;
  return `  ${name}: ${description} (${backend}, ${kind})${memory}`;
}

function modelLines({
  path,
  architecture,
  profile,
  reasons,
  acceleration: { kernels, reason },
}: DoctorModel): string[] {
  const accel = `accel ${kernels ?? "off"}: ${reason}`;
  return [`path ${path}`, `model ${architecture}, profile ${profile}`, ...reasons, accel];
}
