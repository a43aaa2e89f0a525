/** Conversations under the checkpoint's own chat template, from the checkpoint's files to the score. */
import { readFileSync, writeFileSync } from "node:fs";
import { Tokenizer } from "@huggingface/tokenizers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { convert, inspect, ScoreModel } from "../../lib/index.ts";
import { fixtureCase } from "../fixtures/cases.ts";
import { writeFixture } from "../fixtures/checkpoints.ts";
import { loadGolden } from "../fixtures/golden.ts";
import type { DpaSpec, RelativeSpec } from "../fixtures/specs.ts";
import { scoreError, scoreSpreads, vectorError } from "./numbers.ts";
import { workspace } from "./support.ts";

const { path } = workspace();

const EOS = 2;
/** Writes BOS itself, which the tokenizer does too; no EOS after the answer to score. */
const TEMPLATE =
  "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]" +
  "{% else %}{{ m.content }}{% if not loop.last %}{{ eos_token }}{% endif %}{% endif %}{% endfor %}";
const LABELS = Array.from({ length: 10 }, (_, i) => `aspect ${i}`);

interface Variant {
  readonly template: string | null;
  readonly config?: Readonly<Record<string, unknown>>;
  readonly profile: string;
}

/** The dpa fixture under another template, config and profile. */
async function makeModel(name: string, { template, config, profile }: Variant): Promise<ScoreModel> {
  const spec = fixtureCase("dpa").spec as DpaSpec;
  const tokenizer = template === null ? {} : { chatTemplate: template };
  const { directory } = await writeFixture({ ...spec, tokenizer }, path(name));
  const file = path(name, "config.json");
  writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, "utf8")), ...config }));
  const output = path(`${name}.gguf`);
  const { warnings } = await convert(directory, output, { profile, type: "f32" });
  expect(warnings.some((warning) => warning.includes("has no chat template"))).toBe(template === null);
  return ScoreModel.load(output, { device: "cpu", threads: 1, kv: "f32" });
}

const models: Record<"own" | "padIsEos" | "rewardToken" | "bare", ScoreModel | undefined> = {
  own: undefined,
  padIsEos: undefined,
  rewardToken: undefined,
  bare: undefined,
};
const model = (name: keyof typeof models): ScoreModel => models[name] as ScoreModel;
let reference: Tokenizer;

beforeAll(async () => {
  const id2label = Object.fromEntries(LABELS.entries());
  models.own = await makeModel("own", { template: TEMPLATE, config: { id2label }, profile: "custom" });
  models.padIsEos = await makeModel("pad-is-eos", {
    template: `${TEMPLATE}{{ eos_token }}`,
    config: { pad_token_id: EOS },
    profile: "custom",
  });
  models.rewardToken = await makeModel("reward-token", {
    template: TEMPLATE,
    config: { reward_token_id: 31_999 },
    profile: "internlm2",
  });
  models.bare = await makeModel("bare", { template: null, profile: "custom" });
  reference = new Tokenizer(JSON.parse(readFileSync(path("own", "tokenizer.json"), "utf8")), {});
});
afterAll(() => Promise.all(Object.values(models).map((loaded) => loaded?.close())));

describe("the checkpoint's own template", () => {
  const [golden] = loadGolden("dpa").results;
  // "[INST] … [/INST]": a user turn's content, and an empty answer.
  const content = String(golden?.text).slice("[INST] ".length, -" [/INST]".length);
  const messages = [
    { role: "user" as const, content },
    { role: "assistant" as const, content: "" },
  ];

  it("gives one BOS, and the reference's tokens and scores", async () => {
    const output = await model("own").score([{ messages }, { prompt: content, response: "" }]);
    for (const ids of output.tokenIds) expect([...ids]).toEqual(golden?.tokenIds);
    expect([...output.endIndex.data]).toEqual([golden?.endIndex, golden?.endIndex]);
    expect(vectorError(output.endScores.data.subarray(0, 10), golden?.endScores ?? [])).toBeLessThan(2e-5);
  });

  it("is what the config's labels name", () => {
    expect(model("own").info).toMatchObject({ profile: "custom", type: "attributes", labels: LABELS });
  });

  it("takes several turns, a system turn if it has a place for one, and special tokens as written", () => {
    const turns = [
      { role: "user" as const, content: "a</s>b" },
      { role: "assistant" as const, content: "c" },
      { role: "user" as const, content: " d" },
      { role: "assistant" as const, content: "e\n" },
    ];
    const expected = reference.encode("[INST] a</s>b [/INST]c</s>[INST]  d [/INST]e\n").ids;
    expect([...model("own").tokenize({ messages: turns })]).toEqual(expected);
    expect([...model("own").tokenize({ messages: turns }, { appendEos: true })]).toEqual([...expected, EOS]);
  });

  it("ranks answers, whose shared messages are computed once", async () => {
    const weights = { "aspect 0": 1 };
    const [first, second] = await model("own").rank("hello", ["Hi!", "Go away."], { weights });
    const { endScores } = await model("own").score(
      ["Hi!", "Go away."].map((response) => ({ prompt: "hello", response })),
    );
    const scores = [endScores.data[0] as number, endScores.data[10] as number];
    expect(first?.score).toBeCloseTo(Math.max(...scores), 4);
    expect(second?.score).toBeCloseTo(Math.min(...scores), 4);
  });
});

it("a system turn of the card's goes first, found by the directory's name", async () => {
  const golden = loadGolden("qwen2-reward");
  const spec = fixtureCase("qwen2-reward").spec as RelativeSpec;
  // The first text, whose opening is the system turn's.
  const chatTemplate =
    "{% for m in messages %}{{ {'system': 'BEGINNING OF CONVERSATION:', 'user': ' USER: ', 'assistant': ' ASSISTANT:'}" +
    "[m.role] }}{{ m.content }}{% endfor %}";
  const { directory } = await writeFixture({ ...spec, tokenizer: { chatTemplate } }, path("WorldPM-tiny"));
  const { profile, warnings } = await convert(directory, path("worldpm.gguf"), { type: "f32" });
  expect([profile.name, warnings]).toEqual(["worldpm", []]);
  await using worldpm = await ScoreModel.load(path("worldpm.gguf"), { device: "cpu", threads: 1, kv: "f32" });
  const output = await worldpm.score({ prompt: "hello", response: "Hello! How can I help you today?" });
  expect([...(output.tokenIds[0] ?? [])]).toEqual(golden.results[0]?.tokenIds);
  expect(output.labels).toEqual(["reward"]);
  const error = scoreError(output.endScores.data, golden.results[0]?.endScores ?? [], scoreSpreads(golden));
  expect(error).toBeLessThan(2e-5);
});

describe("read positions", () => {
  const conversation = { prompt: "hello", response: "Hi!" };

  it("hf passes over a trailing EOS where it is the pad token too", async () => {
    const { tokenIds, endIndex, endScores, scores } = await model("padIsEos").score(conversation, { perToken: true });
    const ids = tokenIds[0] as Int32Array;
    expect(ids.at(-1)).toBe(EOS);
    expect(endIndex.data[0]).toBe(ids.length - 2);
    const at = 10 * (ids.length - 2);
    expect([...endScores.data]).toEqual([...(scores?.data.subarray(at, at + 10) ?? [])]);
  });

  it("before-first-pad stops at the first EOS of a conversation", async () => {
    const messages = [
      { role: "user" as const, content: "a" },
      { role: "assistant" as const, content: "b" },
      { role: "user" as const, content: "c" },
      { role: "assistant" as const, content: "d" },
    ];
    const { tokenIds, endIndex } = await model("padIsEos").score({ messages }, { read: "before-first-pad" });
    expect(endIndex.data[0]).toBe((tokenIds[0]?.indexOf(EOS) ?? 0) - 1);
  });

  it("token:<id> follows the config, and a conversation is closed by that token", async () => {
    const { tokenIds, endIndex, lengths } = await model("rewardToken").score(conversation);
    expect([...(tokenIds[0] ?? [])]).toEqual([...reference.encode("[INST] hello [/INST]Hi!").ids, 31_999]);
    expect(endIndex.data[0]).toBe((lengths[0] as number) - 1);
  });

  it("token:<id> in exact texts and ids is their own, or an error", async () => {
    const tokenIds = [1, 31_999, 5];
    expect((await model("rewardToken").score({ tokenIds })).endIndex.data[0]).toBe(1);
    expect((await model("own").score({ tokenIds }, { read: "token:5" })).endIndex.data[0]).toBe(2);
    await expect(model("rewardToken").score("hello")).rejects.toMatchObject({ code: "ERR_ARGUMENT" });
  });
});

describe("a model without a chat template", () => {
  it("is described as one that takes exact texts and ids", async () => {
    expect((await inspect(path("bare.gguf"))).warnings).toEqual([expect.stringContaining("has no chat template")]);
    expect((await inspect(path("own.gguf"))).warnings).toEqual([]);
  });

  it("scores exact texts and ids, and says what it cannot", async () => {
    const { lengths } = await model("bare").score(["hello", { tokenIds: [1, 2] }]);
    expect(lengths[1]).toBe(2);
    await expect(model("bare").score({ prompt: "a", response: "b" })).rejects.toMatchObject({
      code: "ERR_TEMPLATE",
      message: expect.stringContaining("has no chat template"),
    });
  });
});
