/** `scorehead doctor`: what this machine offers, and what a model would use of it. */
import { Command } from "commander";
import { type DoctorModel, type DoctorReport, doctor } from "../index.ts";
import { EXIT, say } from "./exit.ts";
import { factLines, formatBytes } from "./format.ts";
import { writeLines } from "./stdout.ts";

export function doctorCommand(): Command {
  return new Command("doctor")
    .summary("show what is found on this machine")
    .description(
      "Show the llama.cpp libraries, devices, memory and versions that are found here, and what a model would use. " +
        "Exit code 1 where something is missing.",
    )
    .argument("[model]", "a .gguf file, or a checkpoint's directory")
    .option("--json", "print the facts as one JSON object")
    .action(run);
}

async function run(model: string | undefined, { json }: { json?: true }): Promise<void> {
  const report = await doctor(model);
  await writeLines(json ? [JSON.stringify(report)] : reportLines(report));
  for (const { code, message } of report.problems) say(`error: ${message} (${code})`);
  if (report.problems.length > 0) process.exitCode = EXIT.failed;
}

function reportLines(report: DoctorReport): string[] {
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
      ["threads", String(cpu.threads)],
      ["memory", `${formatBytes(memory.freeBytes)} free of ${formatBytes(memory.totalBytes)}`],
      ["device", report.device && `${report.device}, what \`--device auto\` takes`],
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
  weightBytes,
  contextTokens,
  kvBytes,
  freeBytes,
}: DoctorModel): string[] {
  const needed = weightBytes + kvBytes;
  const room = needed <= freeBytes ? "of" : "more than";
  return factLines([
    ["path", path],
    ["model", `${architecture}, profile ${profile}`],
    ["weights", formatBytes(weightBytes)],
    ["kv cache", `${contextTokens} tokens, ${formatBytes(kvBytes)} in f16`],
    ["needs", `${formatBytes(needed)} and working memory, ${room} ${formatBytes(freeBytes)} free`],
  ]);
}
