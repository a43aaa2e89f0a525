/** MLP and gated heads in use: what a gate's position and the sharing of prompts mean for scores. */
import { beforeAll, describe, expect, it } from "vitest";
import { ScoreModel } from "../../lib/index.ts";
import { loadGolden } from "../fixtures/golden.ts";
import { refused } from "../gguf/support.ts";
import { scoreError, scoreSpreads } from "./numbers.ts";
import { rewriteGguf } from "./rewrite.ts";
import { workspace } from "./support.ts";

const { gguf, load, path } = workspace();
const READ = { read: "last-token" } as const;
const F32_BOUND = 2e-5;

describe("a gated head", () => {
  const { results } = loadGolden("armorm");
  const spreads = scoreSpreads({ results });
  const [first, , third] = results;
  const idsOf = (result: typeof first): number[] => [...(result?.tokenIds ?? [])];
  let model: ScoreModel;
  beforeAll(async () => {
    model = await load("armorm", "f32", { kv: "f32" });
  });

  it("has its score as the first output, and its rewards by name", () => {
    expect(model.info).toMatchObject({ kind: "gated", type: "reward" });
    expect(model.info.labels).toHaveLength(20);
    expect(model.info.labels[0]).toBe("reward");
  });

  it("has after each token the score of the text cut there, once its gate has been read", async () => {
    const ids = idsOf(first);
    const { scores } = await model.score({ tokenIds: ids }, { ...READ, perToken: true });
    for (const length of [15, 20, ids.length]) {
      const { endScores } = await model.score({ tokenIds: ids.slice(0, length) }, READ);
      const row = scores?.data.subarray(20 * (length - 1), 20 * length) ?? [];
      expect(scoreError(row, endScores.data, spreads)).toBeLessThan(F32_BOUND);
    }
  });

  it("takes its weights from the last prompt: another one later in the text makes another score", async () => {
    const ids = idsOf(third);
    const { scores } = await model.score({ tokenIds: ids }, { ...READ, perToken: true });
    const { endScores } = await model.score({ tokenIds: ids.slice(0, 20) }, READ);
    const row = scores?.data.subarray(20 * 19, 20 * 20) ?? [];
    expect(scoreError(row.slice(1), endScores.data.slice(1), spreads.slice(1))).toBeLessThan(F32_BOUND);
    expect(Math.abs((row[0] as number) - (endScores.data[0] as number))).toBeGreaterThan(1e-3);
  });

  it("gives a text the same score alone, among answers to its prompt, and after them", async () => {
    const prompt = idsOf(first).slice(0, 15);
    const texts = [3, 1, 4, 1, 5, 9].map((n, i) => ({ tokenIds: [...prompt, 600 + 10 * n, 700 + i] }));
    const fresh = await load("armorm", "f32", { kv: "f32" });
    const { endScores } = await fresh.score(texts, READ);
    const { tokensComputed } = fresh.stats();
    expect(tokensComputed).toBeLessThan(15 + 2 * texts.length + 1);
    for (const [i, text] of texts.entries()) {
      const again = await fresh.score(text, { ...READ, hiddenStates: "end", perToken: i % 2 === 0 });
      const alone = await model.score(text, READ);
      const together = endScores.data.subarray(20 * i, 20 * i + 20);
      expect(scoreError(alone.endScores.data, together, spreads)).toBeLessThan(F32_BOUND);
      expect(scoreError(again.endScores.data, together, spreads)).toBeLessThan(F32_BOUND);
    }
  });

  it("refuses a text without a gating position, in a stream only that one", async () => {
    await refused(model.score({ tokenIds: [1, 5, 6] }), "ERR_TEMPLATE", "128009, 128006, 78191, 128007, 271");
    await refused(model.score({ tokenIds: idsOf(first) }, { maxLength: 20, truncate: "left" }), "ERR_TEMPLATE");
    const codes: unknown[] = [];
    const inputs = [idsOf(first), [1, 5, 6], idsOf(third)].map((tokenIds) => ({ tokenIds }));
    for await (const { error } of model.scoreStream(inputs, READ)) codes.push(error?.code ?? "scored");
    expect(codes).toEqual(["scored", "ERR_TEMPLATE", "scored"]);
  });
});

describe("numbers that are none", () => {
  it("are an error that names the text by its place in the call", async () => {
    const file = path("nan.gguf");
    const [odd, ...ids] = [777, 300, 400, 500];
    await rewriteGguf(await gguf("grm"), file, {
      data: (name, bytes) => {
        if (name === "token_embd.weight") bytes.writeFloatLE(Number.NaN, 4 * 64 * odd);
      },
    });
    await using model = await ScoreModel.load(file, { device: "cpu", threads: 1 });
    // The one with NaN is not the first of its micro-batch, whose other texts then are NaN too.
    const texts = [ids, [400, 300, odd], [1, odd], [1, 5]].map((tokenIds) => ({ tokenIds }));
    await refused(model.score(texts, READ), "ERR_NON_FINITE", "Text 1 ");
    await refused(model.score(texts.slice(2), { ...READ, perToken: true }), "ERR_NON_FINITE", "Text 0 ");
    expect((await model.score(texts[0] as { tokenIds: number[] }, READ)).endScores.data[0]).toSatisfy(Number.isFinite);
  });

  it("are found in the head's own arithmetic", async () => {
    const file = path("overflow.gguf");
    await rewriteGguf(await gguf("grm"), file, {
      metadata: (metadata) => {
        // 3e38 as bfloat16, little-endian, times whatever comes out of the layer before.
        const row = Buffer.from(new Uint16Array(96).fill(0x7f62).buffer).toString("base64");
        metadata.set("scorehead.head.layer.2.weight", { type: "array", of: "string", value: [row] });
        metadata.set("scorehead.head.layer.2.dtype", { type: "string", value: "BF16" });
      },
    });
    await using model = await ScoreModel.load(file, { device: "cpu", threads: 1 });
    await refused(model.score({ tokenIds: [1, 5, 6] }, READ), "ERR_NON_FINITE", "Text 0 ");
  });
});
