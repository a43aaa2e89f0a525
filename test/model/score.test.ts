/** ScoreModel.score: what goes in, what comes out, and that company and order change nothing. */
import { beforeAll, describe, expect, it } from "vitest";
import type { ScoreInput, ScoreModel, ScoreOptions } from "../../lib/index.ts";
import { fixtureCase } from "../fixtures/cases.ts";
import { beaverText, dpaText, starlingText } from "../fixtures/texts.ts";
import { refused } from "../gguf/support.ts";
import { rowOf, scoreError, textResult, vectorError } from "./numbers.ts";
import { workspace } from "./support.ts";

const { load } = workspace();

/** Float32 sums in another order, because rows fall into other micro-batches. Scores are about 1. */
const ROUNDING = 2e-5;
const EVERYTHING = { perToken: true, hiddenStates: "all" } as const satisfies ScoreOptions;

let beaver: ScoreModel;
let dpa: ScoreModel;
let starling: ScoreModel;
beforeAll(async () => {
  beaver = await load("beaver-cost", "f32", { kv: "f32" });
  dpa = await load("dpa", "f32", { kv: "f32", context: 2048 });
  starling = await load("starling", "f32", { kv: "f32" });
});

type Result = ReturnType<typeof textResult>;
function expectSame(found: Result, expected: Result): void {
  const { endScores, scores, endHidden, hidden, ...facts } = expected;
  expect(found).toMatchObject(facts);
  const unit = [1];
  expect(scoreError(found.endScores, endScores, unit)).toBeLessThan(ROUNDING);
  if (scores) expect(scoreError(found.scores ?? [], scores, unit)).toBeLessThan(ROUNDING);
  if (endHidden) expect(vectorError(found.endHidden ?? [], endHidden)).toBeLessThan(ROUNDING);
  if (hidden) expect(vectorError(found.hidden ?? [], hidden)).toBeLessThan(ROUNDING);
}

describe("the company of a text does not matter", () => {
  const models = { "beaver-cost": () => beaver, dpa: () => dpa, starling: () => starling } as const;

  it.each(["beaver-cost", "dpa", "starling"] as const)("%s: alone, together, backwards, in parts", async (name) => {
    const model = models[name]();
    const { texts } = fixtureCase(name);
    const together = await model.score(texts, EVERYTHING);
    const backwards = await model.score([...texts].reverse(), EVERYTHING);
    const firstHalf = await model.score(texts.slice(0, 2), EVERYTHING);
    for (const [i, text] of texts.entries()) {
      const alone = textResult(await model.score(text, EVERYTHING), 0);
      expectSame(textResult(together, i), alone);
      expectSame(textResult(backwards, texts.length - 1 - i), alone);
      if (i < 2) expectSame(textResult(firstHalf, i), alone);
    }
  });

  it("the same text twice has the same score", async () => {
    const text = beaverText("hello", "Hello! How can I help you today?");
    const { endScores } = await beaver.score([text, "something else", text]);
    expect(Math.abs((endScores.data[0] as number) - (endScores.data[2] as number))).toBeLessThan(ROUNDING);
  });

  it("what is asked for does not change the score", async () => {
    const text = beaverText("hello", "Hello! How can I help you today?");
    const plain = (await beaver.score(text)).endScores.data;
    for (const options of [{ perToken: true }, { hiddenStates: "end" }, { hiddenStates: "all" }] as const) {
      const { endScores } = await beaver.score(text, options);
      expect(scoreError(endScores.data, plain, [1])).toBeLessThan(ROUNDING);
    }
  });
});

describe("the output", () => {
  const inputs = ["one", "one two three four", ""];

  it("has B, L, D and E, with zeros behind the shorter texts", async () => {
    const output = await dpa.score(inputs, EVERYTHING);
    const { lengths, scores, lastHiddenState } = output;
    const longest = Math.max(...lengths);
    expect([...lengths]).toEqual(output.tokenIds.map((ids) => ids.length));
    expect(output.endScores.dims).toEqual([3, 10]);
    expect(output.endIndex.dims).toEqual([3]);
    expect(scores?.dims).toEqual([3, longest, 10]);
    expect(lastHiddenState?.dims).toEqual([3, longest, 64]);
    expect(output.endLastHiddenState?.dims).toEqual([3, 64]);
    for (const tensor of [scores, lastHiddenState])
      for (const [i, length] of lengths.entries()) {
        const whole = rowOf(tensor, i);
        const used = length * (tensor?.dims[2] ?? 0);
        expect(whole.subarray(0, used).every((value) => value !== 0)).toBe(true);
        expect(whole.subarray(used).every((value) => value === 0)).toBe(true);
      }
  });

  it("holds the end scores and states again among the per-token ones", async () => {
    const output = await dpa.score(inputs, EVERYTHING);
    for (const [i, end] of output.endIndex.data.entries()) {
      const scores = rowOf(output.scores, i).subarray(end * 10, (end + 1) * 10);
      expect(rowOf(output.endScores, i)).toEqual(scores);
      const hidden = rowOf(output.lastHiddenState, i).subarray(end * 64, (end + 1) * 64);
      expect(rowOf(output.endLastHiddenState, i)).toEqual(hidden);
    }
  });

  it("has only what was asked for", async () => {
    expect(Object.keys(await dpa.score(inputs)).sort()).toEqual(
      ["endIndex", "endScores", "labels", "lengths", "tokenIds", "truncated", "type"].sort(),
    );
    const output = await dpa.score(inputs, { hiddenStates: "end", perToken: false });
    expect(output.endLastHiddenState).toBeDefined();
    expect(output.lastHiddenState).toBeUndefined();
    expect(output.scores).toBeUndefined();
  });

  it("says what a score means", async () => {
    expect(await beaver.score("a")).toMatchObject({ type: "cost", labels: ["cost"] });
    expect(await starling.score("a")).toMatchObject({ type: "reward", labels: ["reward"] });
    const { type, labels } = await dpa.score("a");
    expect(type).toBe("attributes");
    expect(labels[0]).toBe("helpsteer-helpfulness");
    expect(labels).toHaveLength(10);
  });

  it("of no texts is empty tensors", async () => {
    const output = await dpa.score([], EVERYTHING);
    expect(output.endScores).toEqual({ data: new Float32Array(0), dims: [0, 10] });
    expect(output.endIndex).toEqual({ data: new Int32Array(0), dims: [0] });
    expect(output.tokenIds).toEqual([]);
  });
});

describe("inputs", () => {
  it("a conversation is the card's text", async () => {
    const pairs: [ScoreModel, string][] = [
      [beaver, beaverText("hello", "Hi.")],
      [dpa, dpaText("hello", "Hi.")],
      [starling, starlingText("hello", "Hi.")],
    ];
    for (const [model, text] of pairs) {
      const turns = [
        { role: "user", content: "hello" },
        { role: "assistant", content: "Hi." },
      ] as const;
      const output = await model.score([text, { prompt: "hello", response: "Hi." }, { messages: turns }]);
      const [expected, ...others] = output.tokenIds;
      for (const ids of others) expect(ids).toEqual(expected);
    }
  });

  it("earlier answers of a conversation end in </s>, on beaver alone", async () => {
    const messages = ["a", "b", "c", "d"].map((content, i) => ({
      role: i % 2 === 0 ? ("user" as const) : ("assistant" as const),
      content,
    }));
    const text = `${beaverText("a", "b")}</s>USER: c ASSISTANT:d`;
    expect(beaver.tokenize({ messages })).toEqual(beaver.tokenize(text));
    for (const model of [dpa, starling]) await refused(model.score({ messages }), "ERR_TEMPLATE", "one turn");
  });

  it("token ids are taken as they are: an array, an Int32Array, without BOS or EOS", async () => {
    const ids = [5, 300, 301, 302];
    const output = await beaver.score([{ tokenIds: ids }, { tokenIds: Int32Array.from(ids) }], { appendEos: true });
    expect(output.tokenIds.map((row) => [...row])).toEqual([ids, ids]);
    expect(output.endScores.data[0]).toBe(output.endScores.data[1]);
    expect(beaver.tokenize({ tokenIds: ids })).toEqual(Int32Array.from(ids));
  });

  it("is read when the call is made: arrays may be reused at once", async () => {
    const tokenIds = Int32Array.of(1, 300, 301);
    const inputs: ScoreInput[] = [{ tokenIds }];
    const options = { perToken: true };
    const promise = beaver.score(inputs, options);
    tokenIds.fill(7);
    inputs.push("more");
    options.perToken = false;
    const output = await promise;
    expect(output.tokenIds).toEqual([Int32Array.of(1, 300, 301)]);
    expect(output.scores).toBeDefined();
  });

  it("an empty text is BOS alone", async () => {
    const output = await beaver.score("");
    expect(output.tokenIds).toEqual([Int32Array.of(1)]);
    expect([...output.endIndex.data]).toEqual([0]);
  });

  it("appendEos appends one EOS to texts and conversations", async () => {
    const conversation = { prompt: "hello", response: "Hi." };
    for (const input of ["hello", conversation] as const) {
      const plain = [...beaver.tokenize(input)];
      expect([...beaver.tokenize(input, { appendEos: true })]).toEqual([...plain, 2]);
      const { tokenIds, endIndex } = await beaver.score(input, { appendEos: true });
      expect([...(tokenIds[0] ?? [])]).toEqual([...plain, 2]);
      expect(endIndex.data[0]).toBe(plain.length);
    }
  });

  it("tokenText spells a token as the vocabulary does", () => {
    const ids = beaver.tokenize("hello there");
    expect(Array.from(ids, (id) => beaver.tokenText(id)).join("")).toBe("<s>▁hello▁there");
    expect(beaver.tokenText(32_000)).toBe("<pad>");
    for (const id of [-1, 32_001, 1.5, Number.NaN, "0", "length", null])
      expect(() => beaver.tokenText(id as number)).toThrow(expect.objectContaining({ code: "ERR_TOKEN" }));
  });
});

describe("read positions", () => {
  const PAD = 32_000;
  const ids = { tokenIds: [1, 300, 301, PAD, 302, PAD, PAD] };

  it.each([
    ["last-token", 6],
    ["hf", 4],
    ["before-first-pad", 2],
  ] as const)("%s", async (read, index) => {
    const { endIndex, endScores, scores } = await beaver.score(ids, { read, perToken: true });
    expect([...endIndex.data]).toEqual([index]);
    expect(endScores.data[0]).toBe(scores?.data[index]);
  });

  it("the default is the profile's", async () => {
    expect([...(await beaver.score(ids)).endIndex.data]).toEqual([6]);
    // No pad token in the config: transformers then reads the last one.
    expect([...(await dpa.score({ tokenIds: [1, 300, 0, 0] })).endIndex.data]).toEqual([3]);
    expect([...(await starling.score("a")).endIndex.data]).toEqual([2047]);
  });

  it("card reads where maxLength says, on any model with an <unk>", async () => {
    const output = await beaver.score("hello", { read: "card", maxLength: 100, perToken: true });
    expect([...output.endIndex.data]).toEqual([99]);
    expect(output.scores?.dims[1]).toBe(beaver.tokenize("hello").length);
  });

  it("card reads a text that fills the length at its last token", async () => {
    const text = "hello hello hello";
    const { length } = starling.tokenize(text);
    const full = await starling.score(text, { maxLength: length });
    const last = await starling.score(text, { read: "last-token" });
    expect([...full.endIndex.data]).toEqual([length - 1]);
    expect(full.endScores.data).toEqual(last.endScores.data);
    const beyond = await starling.score(text, { maxLength: length + 1 });
    expect(beyond.endScores.data[0]).not.toBe(last.endScores.data[0]);
  });
});

describe("long texts", () => {
  const long = "word ".repeat(2100);

  it("are refused with the numbers", async () => {
    const { length } = beaver.tokenize(long);
    await refused(beaver.score(long), "ERR_INPUT_TOO_LONG", `${length} tokens`, "2048", "maxLength");
    await refused(beaver.score(["short", long]), "ERR_INPUT_TOO_LONG", `${length}`);
  });

  it("are cut where asked for, from the end asked for", async () => {
    const ids = beaver.tokenize(long);
    const left = await beaver.score(long, { maxLength: 10 });
    expect([...(left.tokenIds[0] ?? [])]).toEqual([1, ...ids.slice(-9)]);
    expect([...left.truncated]).toEqual([ids.length - 10]);
    const right = await beaver.score(long, { maxLength: 10, truncate: "right" });
    expect([...(right.tokenIds[0] ?? [])]).toEqual([...ids.slice(0, 10)]);
    const full = await beaver.score(long, { truncate: "right" });
    expect([...full.lengths]).toEqual([2048]);
    expect([...full.truncated]).toEqual([ids.length - 2048]);
  });

  it("are cut without asking on starling, from the left", async () => {
    const ids = starling.tokenize(long);
    const output = await starling.score(long);
    expect([...output.truncated]).toEqual([ids.length - 2048]);
    expect([...(output.tokenIds[0] ?? [])].slice(0, 2)).toEqual([1, ids[ids.length - 2047]]);
    expect([...output.endIndex.data]).toEqual([2047]);
  });

  it("tells where the text was cut only", async () => {
    const { truncated } = await beaver.score(["a b c d e f", "a"], { maxLength: 4 });
    expect([...truncated]).toEqual([beaver.tokenize("a b c d e f").length - 4, 0]);
  });

  it("do not exceed the context either, which may be smaller than the model's length", async () => {
    const small = await load("dpa", "f32", { context: 200 });
    expect(small.info.contextTokens).toBeLessThan(300);
    await refused(small.score(long), "ERR_INPUT_TOO_LONG", "context", `${small.info.contextTokens - 2}`);
    const { lengths } = await small.score(long, { maxLength: 200 });
    expect([...lengths]).toEqual([200]);
  });

  it("have no more positions than the model", async () => {
    await refused(beaver.score("a", { maxLength: 2049 }), "ERR_ARGUMENT", "2049", "2048");
    // Starling's own limit is 2048; the base model's positions allow 4096.
    const { endIndex } = await starling.score("a", { maxLength: 4096 });
    expect([...endIndex.data]).toEqual([4095]);
    await refused(starling.score("a", { maxLength: 4097 }), "ERR_ARGUMENT", "4097");
  });
});

it("another profile brings its template, type, labels and reading", async () => {
  const model = await load("beaver-cost", "f32", { profile: "starling" });
  expect(model.info).toMatchObject({ profile: "starling", type: "reward", labels: ["reward"] });
  const conversation = { prompt: "hello", response: "Hi." };
  const { type, endIndex, tokenIds } = await model.score(conversation);
  expect(type).toBe("reward");
  expect([...endIndex.data]).toEqual([2047]);
  expect(tokenIds[0]).toEqual(beaver.tokenize(starlingText("hello", "Hi.")));
});

it("a profile of another width is refused", async () => {
  await refused(load("beaver-cost", "f32", { profile: "dpa" }), "ERR_HEAD", "10 outputs", "has 1");
});

it("info tells what was loaded", () => {
  expect(dpa.info).toMatchObject({
    profile: "dpa",
    type: "attributes",
    architecture: "llama",
    hiddenSize: 64,
    maxLength: 32_768,
    device: "cpu",
    threads: 1,
  });
  expect(dpa.info.labels).toHaveLength(10);
  expect(dpa.info.contextTokens).toBeGreaterThanOrEqual(2048);
});
