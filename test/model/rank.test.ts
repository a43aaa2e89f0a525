/** ScoreModel.rank and rankStream: best first, what counts as best, and each prompt computed once. */
import { beforeAll, describe, expect, it } from "vitest";
import type {
  Message,
  Ranked,
  RankInput,
  RankResult,
  RankStreamOptions,
  ScoreModel,
  ScoreModelOutput,
} from "../../lib/index.ts";
import { rankScores, resolveWeights } from "../../lib/model/rank.ts";
import { refused } from "../gguf/support.ts";
import { workspace } from "./support.ts";

const { load } = workspace();

const PROMPT = "How do I open a jar whose lid is stuck? Please answer in one sentence, and name the tool that I need.";
const ANSWERS = ["With a spoon.", "Go away.", "Run hot water over the lid, then twist.", "", "With a spoon."];

let reward: ScoreModel;
let cost: ScoreModel;
let attributes: ScoreModel;
beforeAll(async () => {
  [reward, cost, attributes] = [
    await load("beaver-normalized-reward", "f32", { kv: "f32" }),
    await load("beaver-cost", "f32", { kv: "f32" }),
    await load("dpa", "f32", { kv: "f32", context: 2048 }),
  ];
});

const score = (model: ScoreModel, prompt: string): Promise<ScoreModelOutput> =>
  model.score(ANSWERS.map((response) => ({ prompt, response })));

/** The same scores to float rounding, which may swap two answers that are the same text. */
function expectSame(found: readonly Ranked[], expected: readonly Ranked[]): void {
  const text = ({ index }: Ranked): string | undefined => ANSWERS[index];
  expect(found.map(text)).toEqual(expected.map(text));
  for (const [place, { score }] of found.entries()) expect(score).toBeCloseTo(expected[place]?.score as number, 4);
}

async function collect(
  model: ScoreModel,
  inputs: Iterable<RankInput>,
  options?: RankStreamOptions,
): Promise<RankResult[]> {
  const results: RankResult[] = [];
  for await (const result of model.rankStream(inputs, options)) results.push(result);
  return results;
}

describe("the order", () => {
  it("is by falling reward and by rising cost, with the scores that score gives", async () => {
    for (const [model, direction] of [
      [reward, -1],
      [cost, 1],
    ] as const) {
      const ranking = await model.rank(PROMPT, ANSWERS);
      const { endScores } = await score(model, PROMPT);
      expect(ranking.map(({ index }) => index).sort()).toEqual([0, 1, 2, 3, 4]);
      for (const { index, score } of ranking) expect(score).toBeCloseTo(endScores.data[index] as number, 4);
      const scores = ranking.map(({ score }) => score);
      expect(scores).toEqual([...scores].sort((a, b) => direction * (a - b)));
    }
  });

  it("of equal answers is the order that they were given in", async () => {
    const ranking = await reward.rank(PROMPT, ANSWERS);
    const places = [0, 4].map((answer) => ranking.findIndex(({ index }) => index === answer));
    expect(places[1]).toBe((places[0] as number) + 1);
    expect(rankScores([1, 2, 1, 2], "reward", [1]).map(({ index }) => index)).toEqual([1, 3, 0, 2]);
    expect(rankScores([1, 2, 1, 2], "cost", [1]).map(({ index }) => index)).toEqual([0, 2, 1, 3]);
  });
});

describe("weights", () => {
  it("by label and in order mean the same", async () => {
    const { labels } = attributes.info;
    const byLabel = { "helpsteer-helpfulness": 0.8, "helpsteer-verbosity": -0.6 };
    const inOrder = labels.map((label) => byLabel[label as keyof typeof byLabel] ?? 0);
    const { endScores } = await score(attributes, PROMPT);
    const expected = ANSWERS.map((_, i) =>
      inOrder.reduce((sum, weight, d) => sum + weight * (endScores.data[i * 10 + d] as number), 0),
    );
    const [first, second] = [
      await attributes.rank(PROMPT, ANSWERS, { weights: byLabel }),
      await attributes.rank(PROMPT, ANSWERS, { weights: inOrder }),
    ];
    expectSame(second, first);
    for (const { index, score } of first) expect(score).toBeCloseTo(expected[index] as number, 3);
  });

  it("may weigh a single output, and then decide what is better", async () => {
    const ranking = await reward.rank(PROMPT, ANSWERS, { weights: [-1] });
    const opposite = await reward.rank(PROMPT, ANSWERS);
    expect(ranking[0]?.score).toBeCloseTo(-(opposite.at(-1)?.score as number), 4);
  });

  it("have to be there for several outputs, fit them and be numbers", () => {
    const head = { labels: ["a", "b"], kind: "linear" } as const;
    expect(resolveWeights({ b: 2 }, head)).toEqual([0, 2]);
    for (const wrong of [undefined, [1], [1, 2, 3], [1, Number.NaN], { c: 1 }, { a: "1" }, {}, null, 1, "1,2"])
      expect(() => resolveWeights(wrong, head), JSON.stringify(wrong)).toThrow(
        expect.objectContaining({ code: "ERR_ARGUMENT" }),
      );
    expect(resolveWeights(undefined, { labels: ["a"], kind: "mlp" })).toEqual([1]);
  });
});

describe("the prompt", () => {
  it("is computed once", async () => {
    const long = `A prompt of its own. ${PROMPT} `.repeat(12); // nothing of it is cached
    const before = reward.stats();
    await reward.rank(long, ANSWERS);
    const { tokensAsked, tokensComputed } = reward.stats();
    const promptTokens = reward.tokenize({ prompt: long, response: "" }).length;
    const computed = tokensComputed - before.tokensComputed;
    expect(tokensAsked - before.tokensAsked).toBeGreaterThan(5 * promptTokens);
    expect(computed).toBeGreaterThanOrEqual(promptTokens);
    expect(computed).toBeLessThan(promptTokens + 40);
  });

  it("may be messages that end with a user turn", async () => {
    const asked: Message[] = [{ role: "user", content: PROMPT }];
    expectSame(await reward.rank(asked, ANSWERS), await reward.rank(PROMPT, ANSWERS));
    const longer: Message[] = [...asked, { role: "assistant", content: "A spoon." }, { role: "user", content: "Why?" }];
    const { endScores } = await reward.score({ messages: [...longer, { role: "assistant", content: "Go away." }] });
    const ranking = await reward.rank(longer, ANSWERS);
    expect(ranking.find(({ index }) => index === 1)?.score).toBeCloseTo(endScores.data[0] as number, 4);
    await refused(reward.rank(longer.slice(0, 2), ANSWERS), "ERR_TEMPLATE", "messages[1]", "user turn");
    await refused(reward.rank([], ANSWERS), "ERR_TEMPLATE");
  });
});

describe("a stream of rankings", () => {
  const inputs: RankInput[] = Array.from({ length: 40 }, (_, i) => ({
    prompt: `${PROMPT} Question ${i}. ${"And this again. ".repeat(i % 6)}`,
    responses: ANSWERS.slice(0, 1 + (i % ANSWERS.length)),
  }));

  it("gives what rank gives, in order", async () => {
    const results = await collect(cost, inputs);
    expect(results.map(({ index }) => index)).toEqual(inputs.map((_, i) => i));
    for (const i of [0, 4, 39]) {
      const { prompt, responses } = inputs[i] as { prompt: string; responses: readonly string[] };
      const expected = await cost.rank(prompt, responses);
      const found = results[i];
      if (!found || found.error) throw new Error(`no ranking ${i}`);
      expectSame(found.ranking, expected);
    }
  });

  it("computes each prompt once, and needs fewer micro-batches than one call a prompt", async () => {
    const stats = [reward.stats()];
    for (const input of inputs) if ("prompt" in input) await reward.rank(input.prompt, input.responses);
    stats.push(reward.stats());
    await collect(reward, inputs);
    stats.push(reward.stats());
    const [calls, stream] = [1, 2].map((i) => ({
      computed: (stats[i]?.tokensComputed ?? 0) - (stats[i - 1]?.tokensComputed ?? 0),
      batches: (stats[i]?.batches ?? 0) - (stats[i - 1]?.batches ?? 0),
    }));
    expect(stream?.computed).toBeLessThanOrEqual(1.02 * (calls?.computed as number));
    expect(stream?.batches).toBeLessThan((calls?.batches as number) / 3);
  });

  it("has errors in their place; a wrong answer spoils its ranking only", async () => {
    const broken: unknown[] = [
      { prompt: "q", responses: ["a", "b"] },
      { prompt: "q", responses: [] },
      { prompt: "q", responses: ["a", 7, "b"] },
      { prompt: "q", messages: [], responses: ["a"] },
      { messages: "q", responses: ["a"] },
      { prompt: "q", responses: ["a"], extra: 1 },
      null,
      { messages: [{ role: "user", content: "q" }], responses: ["a"] },
    ];
    const results = await collect(reward, broken as RankInput[]);
    expect(results.map(({ error }) => error?.code)).toEqual([
      undefined,
      ...Array.from({ length: 6 }, () => "ERR_ARGUMENT"),
      undefined,
    ]);
    expect(results[0]).toMatchObject({ index: 0, ranking: [{}, {}] });
    expect(results[7]).toMatchObject({ index: 7, ranking: [{ index: 0 }] });
  });

  it("refuses weights that do not fit before it reads anything", () => {
    const source: Iterable<RankInput> = {
      [Symbol.iterator]: () => {
        throw new Error("read");
      },
    };
    expect(() => attributes.rankStream(source)).toThrow(expect.objectContaining({ code: "ERR_ARGUMENT" }));
    expect(() => attributes.rankStream("texts" as never, { weights: { "helpsteer-verbosity": 1 } })).toThrow(
      "iterable",
    );
  });
});
