/**
 * Sharing prefixes, caching them across calls and merging calls change nothing but float rounding: thousands of random
 * trees on small models, against each text computed alone in an emptied cache. One of the models has layers with a
 * sliding window that most texts outgrow.
 */
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { readGguf } from "../../lib/gguf/read.ts";
import { headFromMetadata } from "../../lib/head/metadata.ts";
import type { ScoreModel, ScoreOptions } from "../../lib/index.ts";
import { nativeNetwork } from "../../lib/model/engine.ts";
import { addon } from "../../lib/runtime/addon.ts";
import type { ModelHandle } from "../../lib/runtime/contract.ts";
import type { CaseName } from "../fixtures/cases.ts";
import { workspace } from "./support.ts";

const { gguf, load } = workspace();

/**
 * Float32 throughout; what shares a micro-batch changes the order of additions. Scores are of the order of 1, and
 * another key or token more moves one by 0.1 and more.
 */
const ROUNDING = 1e-4;

/** Few different tokens, so that texts begin alike; often exactly alike. */
const ALIKE = fc.array(fc.constantFrom(300, 400, 500), { minLength: 1, maxLength: 60 });
/** A part of one of a few long texts, and something else after it. */
const BRANCHES = fc
  .record({
    stem: fc.integer({ min: 1, max: 3 }),
    length: fc.integer({ min: 1, max: 140 }),
    tail: fc.array(fc.integer({ min: 300, max: 310 }), { maxLength: 10 }),
  })
  .map(({ stem, length, tail }) => [...Array.from({ length }, (_, i) => 1000 * stem + i), ...tail]);

interface Given {
  readonly name: CaseName;
  readonly text: fc.Arbitrary<number[]>;
  readonly runs: number;
  /** Of the tokens that are asked for, at least. */
  readonly reused: number;
}

describe.each<Given>([
  { name: "beaver-reward", text: ALIKE, runs: 700, reused: 0.15 },
  // The window is 48 tokens, and a shared prefix is often longer.
  { name: "gemma2-classifier", text: BRANCHES, runs: 60, reused: 0.3 },
])("$name", ({ name, text, runs, reused }) => {
  let model: ScoreModel;
  let reference: ModelHandle;
  const known = new Map<string, Float32Array>();

  beforeAll(async () => {
    // A cache that holds few texts at once, so that making room is part of the test.
    model = await load(name, "f32", { kv: "f32", context: 200 });
    const file = await gguf(name);
    const { network } = headFromMetadata((await readGguf(file)).metadata);
    const limits = { contextTokens: 256, batchTokens: 160, maxOutputs: 160 };
    const head = { head: nativeNetwork(network), gate: nativeNetwork(null) };
    const where = { path: file, devices: [], gpuLayers: -1, mainGpu: -1, tensorSplit: new Float32Array(0) };
    const overrides = { overrideKeys: [], overrideValues: new Int32Array(0) };
    ({ handle: reference } = await addon().openModel({
      ...where,
      ...overrides,
      ...limits,
      threads: 1,
      accel: false,
      kvF32: true,
      ...head,
    }));
    return () => addon().closeModel(reference);
  });

  /** Every token's score, computed alone: the cache is emptied first, and one sequence holds one text. */
  async function alone(tokenIds: readonly number[]): Promise<Float32Array> {
    const key = tokenIds.join();
    const found = known.get(key);
    if (found) return found;
    const indices = Int32Array.from(tokenIds, (_, i) => i);
    const { scores } = await addon().decode(reference, {
      memory: Int32Array.of(0, -1, -1, -1, 0),
      tokens: Int32Array.from(tokenIds),
      positions: indices,
      sequences: new Int32Array(tokenIds.length),
      sequenceOffsets: Int32Array.of(...indices, tokenIds.length),
      outputs: new Uint8Array(tokenIds.length).fill(1),
      remember: new Int32Array(0),
      recall: new Int32Array(0),
    });
    known.set(key, scores);
    return scores;
  }

  async function expectAlone(
    tokenIds: readonly number[],
    end: number,
    perToken: Float32Array | undefined,
  ): Promise<void> {
    const expected = await alone(tokenIds);
    expect(Math.abs(end - (expected.at(-1) as number))).toBeLessThan(ROUNDING);
    for (const [i, score] of expected.entries())
      if (perToken) expect(Math.abs((perToken[i] as number) - score)).toBeLessThan(ROUNDING);
  }

  const call = fc.record({
    texts: fc.array(text, { minLength: 1, maxLength: 6 }),
    perToken: fc.boolean(),
    hiddenStates: fc.constantFrom(undefined, "end", "all" as const),
    abort: fc.integer({ min: 0, max: 9 }),
  });
  /** Calls of one group overlap; groups follow each other. */
  const groups = fc.array(fc.array(call, { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 3 });

  it("holds for thousands of random trees, with overlapping and aborted calls", async () => {
    let trees = 0;
    let aborted = 0;
    await fc.assert(
      fc.asyncProperty(groups, async (given) => {
        for (const calls of given)
          await Promise.all(
            calls.map(async ({ texts, abort, ...options }) => {
              trees++;
              const controller = new AbortController();
              // Some calls are aborted, before, during or after their micro-batches.
              if (abort < 2) setTimeout(() => controller.abort(), abort);
              const output = await model
                .score(
                  texts.map((tokenIds) => ({ tokenIds })),
                  { ...options, signal: controller.signal } as ScoreOptions,
                )
                .catch((error: { code?: string }) => {
                  if (error.code !== "ERR_ABORTED") throw error;
                  aborted++;
                  return null;
                });
              if (!output) return;
              const [, longest = 0] = output.scores?.dims ?? [];
              for (const [i, tokenIds] of texts.entries())
                await expectAlone(
                  tokenIds,
                  output.endScores.data[i] as number,
                  output.scores?.data.subarray(i * longest, i * longest + tokenIds.length),
                );
            }),
          );
      }),
      { numRuns: runs, seed: 3 },
    );
    expect(trees).toBeGreaterThan(2.9 * runs);
    expect(aborted).toBeGreaterThan(runs / 35);
    const { tokensAsked, tokensReused } = model.stats();
    expect(tokensReused).toBeGreaterThan(reused * tokensAsked);
  }, 120_000);
});
