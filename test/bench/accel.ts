/**
 * `npm run bench:accel`: models with the accelerator beside the same without it, on the same libraries and file, in one run,
 * interleaved; medians, ratios, and the share of what this processor's instructions can do at most.
 *
 *     npm run bench:accel -- [--model tinyllama-1.1b] [--types q8_0,…] [--cases micro-batch,…] [--rounds 3] [--threads N] [--json]
 */
import { execFileSync } from "node:child_process";
import { availableParallelism, cpus } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { type GgufContents, readBackbone } from "../../lib/gguf/backbone.ts";
import { readGguf } from "../../lib/gguf/read.ts";
import { type AccelChoice, type OutputType, ScoreModel } from "../../lib/index.ts";
import { manifest } from "../../lib/runtime/addon.ts";
import { MEMORY_OP, OUTPUT } from "../../lib/runtime/contract.ts";
import { openRuntime } from "../../lib/runtime/open.ts";
import { compile } from "../../scripts/build-addon.mjs";
import { tokens, workloads } from "./cases.ts";
import { median } from "./median.ts";
import { type ModelName, modelFile } from "./models.ts";

const { values } = parseArgs({
  options: {
    model: { type: "string", default: "tinyllama-1.1b" },
    types: { type: "string", default: "q8_0,q4_0,q4_k_m,bf16,f16" },
    cases: { type: "string", default: "" },
    rounds: { type: "string", default: "3" },
    threads: { type: "string", default: String(availableParallelism()) },
    json: { type: "boolean", default: false },
  },
});
const threads = Number(values.threads);
const wanted = (name: string): boolean => values.cases.split(",").some((start) => name.startsWith(start));

/** Something to compute again and again; the same with and without the accelerator. */
interface Case {
  readonly name: string;
  readonly tokens: number;
  /** Tokens that are not shared, and so computed. */
  readonly computed: number;
  readonly run: (round: number) => Promise<unknown>;
}

/** A loaded model and what it is to do. */
interface Contender {
  readonly cases: readonly Case[];
  readonly close: () => Promise<unknown>;
}

/** Native batches, so that the size of a micro-batch is what the name says. */
const MICRO_BATCHES: readonly [batch: number, tokens: number][] = [
  [512, 512],
  [512, 2048],
  [128, 512],
  [16, 64],
  [8, 32],
  [4, 16],
  [2, 8],
  [1, 8],
];

async function microBatches(file: string, accel: boolean): Promise<Contender> {
  const { addon } = openRuntime();
  const { hiddenSize } = readBackbone(await readGguf(file));
  const weight = new Float32Array(hiddenSize);
  const { handle } = await addon.openModel({
    ...{ path: file, devices: [], gpuLayers: 0, mainGpu: -1, tensorSplit: new Float32Array(0) },
    ...{ contextTokens: 2048, batchTokens: 512, maxOutputs: 1, threads, kvF32: false, accel },
    ...{ overrideKeys: [], overrideValues: new Int32Array(0) },
    head: { layers: [{ outputs: 1, inputs: hiddenSize, weight, bias: new Float32Array(0) }], activation: "relu" },
    gate: { layers: [], activation: "relu" },
  });
  const none = new Int32Array(0);
  const decode = (ids: readonly number[], from: number, isLast: boolean) =>
    addon.decode(handle, {
      memory: from === 0 ? Int32Array.of(MEMORY_OP.remove, -1, -1, -1, 0) : none,
      tokens: Int32Array.from(ids),
      positions: Int32Array.from(ids, (_, i) => from + i),
      sequences: new Int32Array(ids.length),
      sequenceOffsets: Int32Array.from({ length: ids.length + 1 }, (_, i) => i),
      outputs: Uint8Array.from(ids, (_, i) => (isLast && i === ids.length - 1 ? OUTPUT.score : 0)),
      remember: none,
      recall: none,
    });
  const cases = MICRO_BATCHES.map(([batch, count]): Case => {
    const run = async (round: number): Promise<void> => {
      const ids = tokens(count, 900 + round);
      for (let from = 0; from < count; from += batch)
        await decode(ids.slice(from, from + batch), from, from + batch >= count);
    };
    return { name: `micro-batch ${batch}: text of ${count}`, tokens: count, computed: count, run };
  });
  return { cases: cases.filter(({ name }) => wanted(name)), close: () => addon.closeModel(handle) };
}

/** The workloads of the other benchmark, as a user calls them. */
async function calls(file: string, accel: AccelChoice): Promise<Contender> {
  const model = await ScoreModel.load(file, { device: "cpu", threads, accel });
  const chosen = workloads().filter(({ name, perToken }) => !perToken && wanted(name));
  const cases = chosen.map(({ name, calls, bound }): Case => {
    const count = calls.flat().reduce((sum, ids) => sum + ids.length, 0);
    const run = async (round: number): Promise<void> => {
      for (const texts of calls)
        await model.score(texts.map((ids) => ({ tokenIds: ids.map((id, i) => (i === 0 ? id : id + round)) })));
    };
    return { name, tokens: count, computed: count / bound, run };
  });
  return { cases, close: () => model.close() };
}

interface Peak {
  readonly int8: number;
  readonly bf16: number;
  readonly f32: number;
}

/** What the instructions can do at most, in 10^9 operations a second. */
function measurePeak(): Peak {
  const program = fileURLToPath(new URL("../accel/build/Release/accel-peak", import.meta.url));
  return JSON.parse(execFileSync(program, [String(threads)], { encoding: "utf8" })) as Peak;
}

/** The instruction that a type is multiplied with. */
function instructionOf(type: string, { bf16 }: Peak): keyof Peak {
  if (type === "bf16" && bf16 > 0) return "bf16";
  return type === "bf16" || type === "f16" ? "f32" : "int8";
}

/** Operations that a token's weight products take. */
function operationsPerToken({ tensors }: GgufContents): number {
  const matrices = tensors.filter(({ name, dims }) => name.startsWith("blk.") && dims.length === 2);
  return 2 * matrices.reduce((sum, { dims }) => sum + (dims[0] as number) * (dims[1] as number), 0);
}

async function seconds(run: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await run();
  return (performance.now() - start) / 1000;
}

/** Rounds of both in turn, so that a machine that drifts does so for both. */
async function compare(on: Case, off: Case): Promise<{ on: number; off: number; peak: Peak }[]> {
  const times: { on: number; off: number; peak: Peak }[] = [];
  for (const { run } of [on, off]) await run(-1); // weights are read for the first time
  for (let round = 0; round < Number(values.rounds); round++) {
    const [first, second] = round % 2 ? [off, on] : [on, off];
    const [a, b] = [await seconds(() => first.run(round)), await seconds(() => second.run(round))];
    times.push({ ...(round % 2 ? { on: b, off: a } : { on: a, off: b }), peak: measurePeak() });
  }
  return times;
}

const { accelerator } = openRuntime();
if (accelerator.kernels === null) throw new Error(`There is no accelerator: ${accelerator.reason}.`);
compile(fileURLToPath(new URL("../accel", import.meta.url)), "configure", "build");
const machine = { cpu: cpus()[0]?.model, threads, kernels: accelerator.kernels, llamaCpp: manifest.llamaCpp.release };
if (!values.json) {
  console.log(`${Object.values(machine).join(", ")} (${values.rounds} rounds)\n`);
  console.log(
    "| weights | case | tokens/s without | tokens/s with | faster by | share of peak |\n|---|---|---|---|---|---|",
  );
}
const rows = [];
for (const type of values.types.split(",") as OutputType[]) {
  const file = await modelFile(values.model as ModelName, type);
  const operations = operationsPerToken(await readGguf(file));
  const pairs = [
    [await microBatches(file, true), await microBatches(file, false)],
    [await calls(file, "auto"), await calls(file, "off")],
  ] as const;
  for (const [on, off] of pairs) {
    for (const [i, { name, tokens: count, computed }] of on.cases.entries()) {
      const times = await compare(on.cases[i] as Case, off.cases[i] as Case);
      const instruction = instructionOf(type, measurePeak());
      const row = {
        ...{ type, name, instruction },
        without: median(times.map((time) => count / time.off)),
        with: median(times.map((time) => count / time.on)),
        ratio: median(times.map((time) => time.off / time.on)),
        share: median(times.map((time) => (computed * operations) / time.on / 1e9 / time.peak[instruction])),
      };
      rows.push(row);
      const cells = [type, name, row.without.toFixed(0), row.with.toFixed(0), `${row.ratio.toFixed(2)}x`];
      if (!values.json) console.log(`| ${cells.join(" | ")} | ${(100 * row.share).toFixed(0)} % of ${instruction} |`);
    }
    await on.close();
    await off.close();
  }
}
if (values.json) console.log(JSON.stringify({ machine, rows }));
