/** Files and texts at which llama.cpp would abort the process, compute something else, or stay poisoned. */

import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import type { GgufValue } from "../../lib/gguf/types.ts";
import { convert, quantize, ScoreModel } from "../../lib/index.ts";
import { refused } from "../gguf/support.ts";
import { rewriteGguf } from "./rewrite.ts";
import { workspace } from "./support.ts";

const { gguf, path, checkpoint, load } = workspace();
const CPU = { device: "cpu", threads: 1 } as const;

describe("a GGUF file with a key that changes what is computed", () => {
  const keys: [string, GgufValue][] = [
    ["llama.expert_count", { type: "u32", value: 8 }],
    ["llama.attention.causal", { type: "bool", value: false }],
    ["llama.rope.scaling.type", { type: "string", value: "linear" }],
    ["llama.attention.sliding_window", { type: "u32", value: 8 }],
  ];

  it.each(keys)("is refused by load and quantize: %s", async (key, value) => {
    const file = path(`${key}.gguf`);
    await rewriteGguf(await gguf("beaver-reward"), file, { metadata: (metadata) => metadata.set(key, value) });
    await refused(ScoreModel.load(file, CPU), "ERR_UNSUPPORTED", key);
    await refused(quantize(file, path("out.gguf"), { type: "q8_0" }), "ERR_UNSUPPORTED", key);
  });
});

it("a norm that is not F32 is refused", async () => {
  const file = path("norm.gguf");
  await rewriteGguf(await gguf("beaver-reward"), file, {
    tensors: (tensors) =>
      tensors.map((tensor) =>
        tensor.name === "output_norm.weight"
          ? { ...tensor, typeName: "F16", byteLength: tensor.byteLength / 2 }
          : tensor,
      ),
  });
  await refused(ScoreModel.load(file, CPU), "ERR_GGUF", "output_norm.weight");
});

it("a sliding window cannot be passed by with maxLength", async () => {
  const { directory } = await checkpoint("dpa");
  const config = join(directory, "config.json");
  const whole = readFileSync(config, "utf8");
  writeFileSync(config, JSON.stringify({ ...JSON.parse(whole), sliding_window: 64 }));
  const file = path("window.gguf");
  await convert(directory, file, { profile: "dpa" }).finally(() => writeFileSync(config, whole));
  await using model = await ScoreModel.load(file, CPU);
  const long = { tokenIds: Array.from({ length: 100 }, (_, i) => 300 + i) };
  await refused(model.score(long), "ERR_INPUT_TOO_LONG", "64");
  await refused(model.score(long, { maxLength: 100 }), "ERR_ARGUMENT", "64");
  expect((await model.score(long, { maxLength: 64 })).lengths[0]).toBe(64);
});

it("the card's reading is refused where layers have windows", async () => {
  const model = await load("gemma2-classifier", "f32", CPU);
  await refused(model.score({ tokenIds: [1, 300] }, { read: "card" }), "ERR_UNSUPPORTED", "gemma2");
});

describe("LongRoPE", () => {
  it("takes the factors for short texts, however long the context is", async () => {
    const tokenIds = Array.from({ length: 200 }, (_, i) => 300 + 7 * i);
    const scores = async (context: number): Promise<readonly number[]> => {
      const model = await load("phi3-longrope", "f32", { ...CPU, kv: "f32", context });
      return [...(await model.score({ tokenIds })).endScores.data];
    };
    const [short, long] = [await scores(254), await scores(4000)];
    expect(long[0]).toBeCloseTo(short[0] as number, 4);
    const model = await load("phi3-longrope", "f32", CPU);
    await refused(model.score({ tokenIds: [...tokenIds, ...tokenIds] }), "ERR_INPUT_TOO_LONG", "256");
  });
});

describe("a text whose numbers overflow", () => {
  const BAD = 777;
  const read = { read: "last-token" } as const;
  let file: string;
  beforeAll(async () => {
    file = path("overflow.gguf");
    await rewriteGguf(await gguf("starling"), file, {
      data: (name, bytes) => {
        if (name !== "token_embd.weight") return;
        const row = bytes.length / 32_000;
        for (let at = BAD * row; at < (BAD + 1) * row; at += 4) bytes.writeFloatLE(Number.NaN, at);
      },
    });
  });

  it.each(["f16", "f32"] as const)("is an error of its own call alone, with the %s cache", async (kv) => {
    await using model = await ScoreModel.load(file, { ...CPU, kv });
    const good = { tokenIds: [1, 5, 6, 7] };
    const [before = 0] = (await model.score(good, read)).endScores.data;
    await refused(model.score({ tokenIds: [1, ...Array(200).fill(BAD)] }, read), "ERR_NON_FINITE");
    const [after] = (await model.score(good, read)).endScores.data;
    expect(after).toBeCloseTo(before, 3);
    const bad = refused(model.score({ tokenIds: [1, BAD, 5] }, read), "ERR_NON_FINITE");
    const others = await Promise.all([20, 21, 22].map((id) => model.score({ tokenIds: [1, id] }, read)));
    await bad;
    for (const { endScores } of others) expect(endScores.data[0]).toSatisfy(Number.isFinite);
  });

  it("is not blamed on others when its own call is aborted", async () => {
    await using model = await ScoreModel.load(file, CPU);
    const controller = new AbortController();
    const bad = model.score({ tokenIds: [1, BAD, 5] }, { ...read, signal: controller.signal });
    const good = model.score({ tokenIds: [1, 5, 6] }, read);
    setImmediate(() => controller.abort());
    await Promise.allSettled([bad]);
    expect((await good).endScores.data[0]).toSatisfy(Number.isFinite);
  });
});

it("aborted texts do not count as reused", async () => {
  await using model = await ScoreModel.load(await gguf("beaver-reward"), CPU);
  const controller = new AbortController();
  const texts = Array.from({ length: 50 }, (_, i) => ({
    tokenIds: Array.from({ length: 500 }, (_, j) => 300 + i * 7 + j * 13),
  }));
  const aborted = model.score(texts, { signal: controller.signal });
  await new Promise((resolve) => setTimeout(resolve, 30));
  controller.abort();
  await refused(aborted, "ERR_ABORTED");
  await model.score({ tokenIds: [1, 5, 6] });
  const { tokensAsked, tokensComputed, tokensReused } = model.stats();
  expect(tokensReused).toBe(Math.max(0, tokensAsked - tokensComputed));
  expect(tokensReused).toBeLessThan(0.1 * tokensAsked + 600);
});
