/**
 * `npm run bench`: scorehead beside its peers, on the same file, in one run, interleaved; medians and ratios.
 *
 *     npm run bench -- [--models tinyllama-1.1b,…] [--types q8_0,…] [--engines scorehead,node-llama-cpp,llama-server,torch]
 *                      [--cases independent,…] [--rounds 3] [--threads N] [--device cpu] [--json]
 */
import { fork, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { OUTPUT_TYPES, type OutputType } from "../../lib/index.ts";
import { manifest } from "../../lib/runtime/addon.ts";
import { type Workload, workloads } from "./cases.ts";
import type { EngineOptions, Measurement } from "./engine.ts";
import { median } from "./median.ts";
import { MODEL_NAMES, type ModelName, modelFile } from "./models.ts";

const ENGINES = ["scorehead", "node-llama-cpp", "llama-server", "torch"] as const;
type EngineName = (typeof ENGINES)[number];

/** One row of the table. */
interface Row {
  readonly model: string;
  readonly type: string;
  readonly workload: string;
  readonly engine: EngineName;
  readonly tokens: number;
  /** Tokens asked for, a second; the median of the rounds. */
  readonly tokensPerSecond: number;
  /** scorehead's tokens a second over this engine's, round by round; the median. */
  readonly ratio: number;
  /** What sharing prefixes could save at most. */
  readonly bound: number;
  readonly reused: number;
  readonly peakMegabytes: number;
  readonly eventLoopP99: number;
  readonly eventLoopLongest: number;
}

const { values } = parseArgs({
  options: {
    models: { type: "string", default: "tinyllama-1.1b,qwen3-0.6b-like" },
    types: { type: "string", default: "q8_0" },
    engines: { type: "string", default: "scorehead,node-llama-cpp" },
    cases: { type: "string", default: "" },
    rounds: { type: "string", default: "3" },
    threads: { type: "string", default: String(availableParallelism()) },
    device: { type: "string", default: "cpu" },
    json: { type: "boolean", default: false },
  },
});

const chosen = <T extends string>(list: string, known: readonly T[]): T[] =>
  list.split(",").map((word) => {
    const found = known.find((name) => name === word);
    if (!found) throw new Error(`${word} is none of ${known.join(", ")}.`);
    return found;
  });

/** An engine's process, with its model loaded. */
async function startChild(engine: EngineName, options: EngineOptions) {
  const child = fork(fileURLToPath(new URL("child.ts", import.meta.url)), [engine, JSON.stringify(options)], {
    execArgv: ["--import", "tsx"],
  });
  const answer = () =>
    new Promise<unknown>((resolve, reject) => {
      const ended = (code: number | null): void => reject(new Error(`${engine} ended with exit code ${code}.`));
      child.once("exit", ended);
      child.once("message", (message) => {
        child.off("exit", ended);
        resolve(message);
      });
    });
  await answer();
  const run = async (workload: Workload): Promise<Measurement | null> => {
    child.send(workload);
    const measured = await answer();
    return measured === "unable" ? null : (measured as Measurement);
  };
  return { engine, run, stop: () => child.kill() };
}

/** Rounds of every engine in turn, so that a machine that drifts does so for all. */
async function compare(
  engines: readonly Awaited<ReturnType<typeof startChild>>[],
  workload: Workload,
  rounds: number,
): Promise<Map<EngineName, Measurement[]>> {
  const found = new Map<EngineName, Measurement[]>();
  for (let round = 0; round < rounds; round++)
    for (const { engine, run } of round % 2 ? [...engines].reverse() : engines) {
      // Each round has tokens of its own: what an engine remembers of the last round must not help it.
      const shifted = workload.calls.map((texts) =>
        texts.map((ids) => ids.map((id, i) => (i === 0 ? id : id + round))),
      );
      const measured = await run({ ...workload, calls: shifted });
      if (measured) found.set(engine, [...(found.get(engine) ?? []), measured]);
    }
  return found;
}

function rows(model: string, type: string, workload: Workload, measured: Map<EngineName, Measurement[]>): Row[] {
  const tokens = workload.calls.flat().reduce((sum, ids) => sum + ids.length, 0);
  const ours = measured.get("scorehead") ?? [];
  return [...measured].map(([engine, rounds]) => ({
    model,
    type,
    workload: workload.name,
    engine,
    tokens,
    tokensPerSecond: median(rounds.map(({ seconds }) => tokens / seconds)),
    ratio: median(rounds.map(({ seconds }, i) => seconds / (ours[i]?.seconds ?? Number.NaN))),
    bound: workload.bound,
    reused: median(rounds.map(({ reused }) => reused)),
    peakMegabytes: Math.max(...rounds.map(({ peakMegabytes }) => peakMegabytes)),
    eventLoopP99: median(rounds.map(({ eventLoop }) => eventLoop.p99)),
    eventLoopLongest: Math.max(...rounds.map(({ eventLoop }) => eventLoop.longest)),
  }));
}

const HEADER =
  "| model | type | workload | engine | tokens/s | scorehead is faster by | sharing allows | reused | peak MB | event loop p99 / longest ms |\n" +
  "|---|---|---|---|---|---|---|---|---|---|";

function line(row: Row): string {
  const cells = [
    ...[row.model, row.type, row.workload, row.engine, row.tokensPerSecond.toFixed(1)],
    row.engine === "scorehead" ? "" : `${row.ratio.toFixed(2)}x`,
    row.engine === "scorehead" ? `${row.bound.toFixed(2)}x` : "",
    `${(100 * row.reused).toFixed(0)} %`,
    row.peakMegabytes.toFixed(0),
    `${row.eventLoopP99.toFixed(1)} / ${row.eventLoopLongest.toFixed(1)}`,
  ];
  return `| ${cells.join(" | ")} |`;
}

function installPeer(): void {
  const folder = fileURLToPath(new URL(".", import.meta.url));
  if (existsSync(new URL("node_modules/node-llama-cpp", import.meta.url))) return;
  console.error("Installing node-llama-cpp, without its GPU variants …");
  const args = ["install", "--omit=optional", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"];
  if (spawnSync("npm", args, { cwd: folder, stdio: ["ignore", "ignore", "inherit"] }).status !== 0)
    throw new Error("node-llama-cpp could not be installed.");
}

const names = chosen(values.engines, ENGINES);
if (!names.includes("scorehead")) throw new Error("scorehead has to be among the engines: ratios are to it.");
if (names.includes("node-llama-cpp")) installPeer();
const threads = Number(values.threads);
const cases = workloads().filter(({ name }) => values.cases.split(",").some((start) => name.startsWith(start)));
const machine = {
  cpu: cpus()[0]?.model ?? "unknown",
  threads,
  device: values.device,
  node: process.version,
  libraries: `@node-llama-cpp ${manifest.llamaCpp.version}, llama.cpp ${manifest.llamaCpp.release}`,
};
const all: Row[] = [];
if (!values.json) console.log(`${Object.values(machine).join(", ")} (${values.rounds} rounds)\n\n${HEADER}`);
for (const model of chosen<ModelName>(values.models, MODEL_NAMES))
  for (const type of chosen<OutputType>(values.types, OUTPUT_TYPES)) {
    const options = { file: await modelFile(model, type), threads, device: values.device };
    const engines = [];
    for (const name of names) {
      const engine = await startChild(name, options).catch((error: Error) => error);
      if (!(engine instanceof Error)) engines.push(engine);
      else if (name === "scorehead") throw engine;
      else console.error(`${engine.message} It is left out.`); // it has said why
    }
    for (const workload of cases)
      for (const row of rows(model, type, workload, await compare(engines, workload, Number(values.rounds)))) {
        all.push(row);
        if (!values.json) console.log(line(row));
      }
    for (const { stop } of engines) stop();
  }
if (values.json) console.log(JSON.stringify({ machine, rows: all }));
