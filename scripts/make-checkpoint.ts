/**
 * Writes a random checkpoint of any size in a published layout, to measure with: 13 GB for the shape of a 7B model. Its
 * values are sane for a forward pass but repeat themselves; the small ones of test/fixtures do not.
 *
 * usage: npx tsx scripts/make-checkpoint.ts [--layout beaver|starling|dpa] [--hidden 4096] [--intermediate 11008]
 *          [--layers 32] [--heads 32] [--kv-heads 32] [--vocabulary 32001] [--shards 7] [--dtype BF16|F16|F32]
 *          [--seed 1] OUT_DIR
 */
import { parseArgs } from "node:util";
import { encodeGiven, type Fill, writeCheckpoint } from "../test/fixtures/checkpoints.ts";
import { encodeFloats, type FloatDtype } from "../test/fixtures/dtype.ts";
import type { TensorPlan } from "../test/fixtures/planner.ts";
import { Random } from "../test/fixtures/random.ts";
import type { FixtureSpec } from "../test/fixtures/specs.ts";
import { byteLength } from "../test/fixtures/tensor.ts";

/** A prime number of elements, so that the rows of a matrix do not start at the same place of the pool. */
const POOL_LENGTH = 2_097_143;

/** Cuts every tensor's bytes out of one pool a distribution, repeated end to end from a place that the name decides. */
function pooledFill(seed: number): Fill {
  const pools = new Map<string, Uint8Array>();
  const poolOf = (plan: TensorPlan, mean: number, deviation: number): Uint8Array => {
    const key = `${plan.dtype} ${mean} ${deviation}`;
    const numbers = () => new Random(seed, key).normal(POOL_LENGTH, mean, deviation);
    const pool = pools.get(key) ?? encodeFloats(numbers(), plan.dtype as FloatDtype);
    pools.set(key, pool);
    return pool;
  };
  function* chunks(plan: TensorPlan): Generator<Uint8Array> {
    if (plan.values.kind === "given") {
      yield encodeGiven(plan, plan.values.numbers);
      return;
    }
    const pool = poolOf(plan, plan.values.mean, plan.values.deviation);
    let begin = (new Random(seed, plan.name).next() % POOL_LENGTH) * (pool.length / POOL_LENGTH);
    for (let left = byteLength(plan); left > 0; begin = 0) {
      const chunk = pool.subarray(begin, begin + left);
      left -= chunk.length;
      yield chunk;
    }
  }
  return (plan) => ({ ...plan, chunks: () => chunks(plan) });
}

function positiveInteger(word: string, name: string): number {
  const value = Number(word);
  if (!Number.isSafeInteger(value) || value < 1) throw new Error(`--${name} ${word} is not a positive whole number.`);
  return value;
}

function parseDtype(word: string): FloatDtype {
  if (word === "F32" || word === "F16" || word === "BF16") return word;
  throw new Error(`--dtype ${word} is none of F32, F16 and BF16.`);
}

function parseCommandLine(): { spec: FixtureSpec; directory: string } {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      layout: { type: "string", default: "beaver" },
      hidden: { type: "string", default: "4096" },
      intermediate: { type: "string", default: "11008" },
      layers: { type: "string", default: "32" },
      heads: { type: "string", default: "32" },
      "kv-heads": { type: "string", default: "32" },
      vocabulary: { type: "string" },
      shards: { type: "string", default: "7" },
      dtype: { type: "string", default: "BF16" },
      seed: { type: "string", default: "1" },
    },
  });
  const [directory] = positionals;
  if (directory === undefined || positionals.length > 1) throw new Error("Exactly one OUT_DIR is needed.");
  const number = (name: Exclude<keyof typeof values, "layout" | "dtype" | "vocabulary">) =>
    positiveInteger(values[name], name);
  const size = {
    hidden: number("hidden"),
    intermediate: number("intermediate"),
    layers: number("layers"),
    heads: number("heads"),
    kvHeads: number("kv-heads"),
    ...(values.vocabulary !== undefined && { vocabulary: positiveInteger(values.vocabulary, "vocabulary") }),
  };
  if (size.hidden % (2 * size.heads) !== 0) throw new Error("--hidden must be an even multiple of --heads.");
  if (size.heads % size.kvHeads !== 0) throw new Error("--heads must be a multiple of --kv-heads.");
  const common = { size, dtype: parseDtype(values.dtype), seed: number("seed") };
  const shards = number("shards");
  const specs: Record<string, FixtureSpec> = {
    beaver: { ...common, layout: "beaver", shards, outputs: 1, bias: true, scoreType: "reward", normalizer: null },
    starling: {
      ...common,
      layout: "starling",
      file: "starling_rm.pt",
      prefixes: ["model.model.", "transformer."],
      rotaryInvFreq: false,
    },
    dpa: { ...common, layout: "dpa", shards },
  };
  const spec = specs[values.layout];
  if (spec === undefined) throw new Error(`--layout ${values.layout} is none of ${Object.keys(specs).join(", ")}.`);
  return { spec, directory };
}

const { spec, directory } = parseCommandLine();
const written = await writeCheckpoint(spec, directory, pooledFill(spec.seed));
console.log(JSON.stringify(written));
