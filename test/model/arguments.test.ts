/** Whatever a caller passes and whatever a file claims: an error of ours with the right code, never a crash. */
import { appendFileSync, copyFileSync, cpSync, truncateSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { beforeAll, describe, expect, it } from "vitest";
import { openCheckpoint } from "../../lib/checkpoint/open.ts";
import type { GgufValue } from "../../lib/gguf/types.ts";
import {
  convert,
  doctor,
  type ErrorCode,
  inspect,
  planCheckpoint,
  pruneModels,
  quantize,
  removeModel,
  type ScoreInput,
  ScoreModel,
  type ScoreOptions,
} from "../../lib/index.ts";
import { refused } from "../gguf/support.ts";
import { type Changes, rewriteGguf } from "./rewrite.ts";
import { workspace } from "./support.ts";

const { checkpoint, gguf, load, path } = workspace();

const SMALL = "beaver-old-tokenizer";

let model: ScoreModel;
let file: string;
let directory: string;
beforeAll(async () => {
  model = await load(SMALL);
  file = await gguf(SMALL);
  ({ directory } = await checkpoint(SMALL));
});

/** Values of every type; those that an argument takes are left out of its tests by name. */
const WRONG: Readonly<Record<string, unknown>> = {
  null: null,
  "a number": 7,
  "a fraction": 0.5,
  NaN: Number.NaN,
  "a boolean": true,
  "a text": "nonsense",
  "an empty text": "",
  "an object": { nonsense: 1 },
  "an array": [1],
  "a function": () => 1,
  "a symbol": Symbol("s"),
  "a bigint": 1n,
  "a date": new Date(0),
};
const wrongExcept = (...taken: readonly string[]): [string, unknown][] =>
  Object.entries(WRONG).filter(([name]) => !taken.includes(name));

/** Passes where each call is refused as a wrong argument, and the message says more than that. */
async function allRefused(values: readonly [string, unknown][], call: (value: never) => unknown): Promise<void> {
  for (const [name, value] of values) {
    const error = await (async () => call(value as never))().then(
      () => "nothing was thrown",
      (thrown: unknown) => thrown,
    );
    expect(error, name).toMatchObject({ name: "ScoreheadError", code: "ERR_ARGUMENT" });
    expect((error as Error).message.length, name).toBeGreaterThan(20);
  }
}

describe("wrong types are refused:", () => {
  const options: readonly [string, readonly string[]][] = [
    ["perToken", ["a boolean"]],
    ["hiddenStates", []],
    ["maxLength", ["a number"]],
    ["truncate", []],
    ["read", []],
    ["appendEos", ["a boolean"]],
    ["signal", []],
    ["onProgress", ["a function"]],
    ["nonsense", []],
  ];
  it.each(options)("score's option %s", (name, taken) =>
    allRefused(wrongExcept(...taken), (value) => model.score("a", { [name]: value } as ScoreOptions)),
  );

  const loadOptions: readonly [string, readonly string[]][] = [
    ["device", []],
    ["threads", ["a number"]],
    ["kv", []],
    ["context", ["a number"]],
    ["profile", []],
    ["tokenizer", ["an empty text"]],
    ["offline", ["a boolean"]],
    ["keepDownloads", ["a boolean"]],
    ["onLog", ["a function"]],
    ["onWarning", ["a function"]],
    ["onPlan", ["a function"]],
    ["onProgress", ["a function"]],
    ["signal", []],
    ["nonsense", []],
  ];
  it.each(loadOptions)("load's option %s", (name, taken) =>
    allRefused(wrongExcept(...taken), (value) => ScoreModel.load(file, { device: "cpu", [name]: value })),
  );

  it("numbers out of range", async () => {
    const numbers = [0, -1, 1.5, 2 ** 40, Number.POSITIVE_INFINITY].map((n): [string, unknown] => [String(n), n]);
    await allRefused(numbers, (threads) => ScoreModel.load(file, { threads }));
    await allRefused(numbers, (context) => ScoreModel.load(file, { context }));
    await allRefused(numbers, (maxLength) => model.score("a", { maxLength }));
  });

  it("the options themselves", async () => {
    const values = wrongExcept("an object", "a date");
    await allRefused(values, (value) => ScoreModel.load(file, value));
    await allRefused(values, (value) => model.score("a", value));
    await allRefused(values, (value) => model.tokenize("a", value));
    await allRefused(values, (value) => model.rank("a", ["b"], value));
    await allRefused(values, (value) => model.scoreStream(["a"], value));
    await allRefused(values, (value) => convert(directory, path("out.gguf"), value));
    await allRefused(values, (value) => planCheckpoint(directory, value));
    await allRefused([...values, ["nothing", undefined]], (value) => quantize(file, path("out.gguf"), value));
  });

  it("the model's name", () =>
    allRefused([...wrongExcept("a text"), ["a path with a NUL", "a\0b"]], (value) => ScoreModel.load(value)));

  it("inputs", async () => {
    const values = wrongExcept("a text", "an empty text", "an array");
    await allRefused(values, (value) => model.score(value));
    await allRefused(values, (value) => model.score(["a", value]));
    await allRefused(values, (value) => model.tokenize(value));
    await allRefused(
      [
        ["a hole", new Array(2)],
        ["an array in an array", [["a"]]],
      ],
      (value) => model.score(value),
    );
  });

  it("conversations and token ids", () => {
    const broken: readonly unknown[] = [
      { prompt: "a" },
      { response: "a" },
      { prompt: 1, response: "a" },
      { prompt: "a", response: null },
      { prompt: "a", response: "b", system: "c" },
      { messages: "a" },
      { messages: [null] },
      { messages: [{ role: "user" }] },
      { messages: [{ role: "robot", content: "a" }] },
      { messages: [{ role: "user", content: "a", name: "b" }] },
      { messages: [{ role: "user", content: "a" }], prompt: "a" },
      { tokenIds: [] },
      { tokenIds: "1,2" },
      { tokenIds: null },
      { tokenIds: Float32Array.of(1) },
      { tokenIds: new Set([1]) },
      { tokenIds: [1], prompt: "a" },
      {},
    ];
    return allRefused(
      broken.map((value, i) => [`${i}: ${JSON.stringify(value)}`, value]),
      (value) => model.score(value),
    );
  });

  it("what is ranked", async () => {
    await allRefused(wrongExcept("a text", "an empty text"), (value) => model.rank(value, ["a"]));
    await allRefused([...wrongExcept(), ["no answers", []]], (value) => model.rank("a", value));
    const weights: [string, unknown][] = [
      ...wrongExcept("an array"),
      ["too many", [1, 2]],
      ["none", []],
      ["none by label", {}],
      ["not finite", [Number.POSITIVE_INFINITY]],
      ["text", ["1"]],
    ];
    await allRefused(weights, (value) => model.rank("a", ["b"], { weights: value }));
    const reader = await load("dpa", "f32", { context: 2048 });
    await refused(reader.rank("a", ["b"]), "ERR_ARGUMENT", "10 outputs", "weights", "helpsteer-helpfulness");
    await refused(reader.rank("a", ["b"], { weights: { helpfulness: 1 } }), "ERR_ARGUMENT", '"helpfulness"');
  });

  it("what is streamed", () => allRefused(wrongExcept("an array"), (value) => model.scoreStream(value)));

  const paths: readonly [string, (value: never) => unknown][] = [
    ["convert's directory", (value) => convert(value, path("out.gguf"))],
    ["convert's output", (value) => convert(directory, value)],
    ["convert's tokenizer", (tokenizer) => convert(directory, path("out.gguf"), { tokenizer })],
    ["quantize's input", (value) => quantize(value, path("out.gguf"), { type: "q8_0" })],
    ["quantize's output", (value) => quantize(file, value, { type: "q8_0" })],
  ];
  it.each(paths)("%s", (_, call) => allRefused([...wrongExcept("a text"), ["a path with a NUL", "a\0b"]], call));

  const convertOptions: readonly [string, readonly string[]][] = [
    ["profile", []],
    ["type", []],
    ["offline", ["a boolean"]],
    ["keepDownloads", ["a boolean"]],
    ["onPlan", ["a function"]],
    ["onProgress", ["a function"]],
    ["onWarning", ["a function"]],
    ["signal", []],
    ["nonsense", []],
  ];
  it.each(convertOptions)("convert's option %s", (name, taken) =>
    allRefused(wrongExcept(...taken), (value) => convert(directory, path("out.gguf"), { [name]: value })),
  );

  it("the cache's care", async () => {
    await allRefused([...wrongExcept("a text"), ["a path with a NUL", "a\0b"]], (name) => removeModel(name));
    await allRefused(wrongExcept("an object", "a date"), (value) => pruneModels(value));
    await allRefused(wrongExcept("a boolean"), (dryRun) => pruneModels({ dryRun }));
    for (const call of [inspect, doctor])
      await allRefused(wrongExcept("a boolean"), (offline) => call(file, { offline }));
  });

  it("quantize's options", async () => {
    const out = path("out.gguf");
    await allRefused([...wrongExcept(), ["f16", "f16"], ["auto", "auto"]], (type) => quantize(file, out, { type }));
    await allRefused(wrongExcept(), (signal) => quantize(file, out, { type: "q8_0", signal }));
    await allRefused(wrongExcept("a function"), (onProgress) => quantize(file, out, { type: "q8_0", onProgress }));
  });

  it("names the option, what it has to be and what it was", async () => {
    await refused(model.score("a", { read: "last" as "hf" }), "ERR_ARGUMENT", '"read"', '"last-token"', '"last"');
    await refused(model.score("a", { perTokens: true } as ScoreOptions), "ERR_ARGUMENT", '"perTokens"', "perToken,");
    await refused(ScoreModel.load(file, { profile: "beaver" }), "ERR_ARGUMENT", '"beaver"', "beaver-cost");
    await refused(ScoreModel.load(file, { threads: 1000 }), "ERR_ARGUMENT", "1 to 512", "1000");
  });

  it("options that are undefined are absent", async () => {
    const names = [...options.map(([name]) => name)].filter((name) => name !== "nonsense");
    await model.score("a", Object.fromEntries(names.map((name) => [name, undefined])));
    await model.score("a", undefined);
  });
});

describe("texts", () => {
  it.each<[string, (bad: string) => ScoreInput]>([
    ["a text", (bad) => bad],
    ["a prompt", (bad) => ({ prompt: bad, response: "a" })],
    ["a response", (bad) => ({ prompt: "a", response: bad })],
  ])("with a lone surrogate are refused as %s, with its index", async (_, input) => {
    for (const bad of ["ab\ud83d", "ab\ude00cd"]) {
      await refused(model.score(input(bad)), "ERR_TEXT", "index 2", "toWellFormed");
      expect(() => model.tokenize(input(bad))).toThrow(expect.objectContaining({ code: "ERR_TEXT" }));
    }
  });

  it("with NUL and every other control character are texts", async () => {
    const text = String.fromCharCode(...Array.from({ length: 32 }, (_, i) => i));
    expect(model.tokenize(text).length).toBeGreaterThan(32);
    await model.score(text);
  });

  it("of ids outside the vocabulary are refused, with place and range", () =>
    refused(model.score({ tokenIds: [1, 32_001] }), "ERR_TOKEN", "tokenIds[1] is 32001", "32000"));
});

describe("a file", () => {
  const u32 = (value: number): GgufValue => ({ type: "u32", value });
  const f32 = (value: number): GgufValue => ({ type: "f32", value });
  const set = (key: string, value: GgufValue | null): Changes => ({
    metadata: (metadata) => {
      if (value) metadata.set(key, value);
      else metadata.delete(key);
    },
  });
  const weight = (change: (values: Float32Array) => Float32Array): Changes => ({
    metadata: (metadata) => {
      const key = "scorehead.head.weight";
      const values = metadata.get(key)?.value as Float32Array;
      metadata.set(key, { type: "array", of: "f32", value: change(values.slice()) });
    },
  });
  const headOf = (width: number): Changes => ({
    metadata: (metadata) => {
      metadata.set("scorehead.head.dims", { type: "array", of: "u32", value: Uint32Array.of(1, width) });
      metadata.set("scorehead.head.weight", { type: "array", of: "f32", value: new Float32Array(width) });
    },
  });
  const fill = (tensor: string, value: number): Changes => ({
    data: (name, bytes) => {
      if (name === tensor) for (let at = 0; at < bytes.length; at += 4) bytes.writeFloatLE(value, at);
    },
  });

  it.each<[string, ErrorCode, readonly string[], Changes]>([
    ["NaN in the head", "ERR_HEAD", ["NaN", "index 7", "damaged"], weight((w) => w.fill(Number.NaN, 7, 8))],
    ["a head of another width", "ERR_HEAD", ["64", "32", "convert the checkpoint again"], headOf(64)],
    ["half a head", "ERR_HEAD", ["16 numbers"], weight((w) => w.slice(0, 16))],
    ["no head", "ERR_NO_HEAD", ["scorehead convert"], set("scorehead.head.weight", null)],
    ["no version", "ERR_NO_HEAD", ["scorehead.version"], set("scorehead.version", null)],
    [
      "a newer version",
      "ERR_NEWER_VERSION",
      ["version 2", "npm install scorehead@latest"],
      set("scorehead.version", u32(2)),
    ],
    ["a length of nothing", "ERR_HEAD", ["length"], set("scorehead.max_length", u32(0))],
    ["an unknown reading", "ERR_HEAD", ["nowhere"], set("scorehead.read", { type: "string", value: "nowhere" })],
    ["no tokenizer", "ERR_GGUF", ["tokenizer"], set("tokenizer.ggml.model", null)],
    [
      "a byte-level tokenizer",
      "ERR_TOKENIZER",
      ["gpt2"],
      set("tokenizer.ggml.model", { type: "string", value: "gpt2" }),
    ],
    ["no layers", "ERR_GGUF", ["block_count"], set("llama.block_count", u32(0))],
    ["more layers than llama.cpp takes", "ERR_GGUF", ["513", "512"], set("llama.block_count", u32(513))],
    ["more layers than tensors", "ERR_GGUF", ["blk.1"], set("llama.block_count", u32(2))],
    ["no heads", "ERR_GGUF", ["head_count"], set("llama.attention.head_count", u32(0))],
    ["another number of heads", "ERR_GGUF", ["attn_q"], set("llama.attention.head_count", u32(4))],
    ["an epsilon below zero", "ERR_GGUF", ["epsilon"], set("llama.attention.layer_norm_rms_epsilon", f32(-1))],
    ["an epsilon of NaN", "ERR_GGUF", ["epsilon"], set("llama.attention.layer_norm_rms_epsilon", f32(Number.NaN))],
    ["an endless rotary base", "ERR_GGUF", ["freq_base"], set("llama.rope.freq_base", f32(Number.POSITIVE_INFINITY))],
    [
      "an unknown architecture",
      "ERR_UNSUPPORTED",
      ["abacus"],
      set("general.architecture", { type: "string", value: "abacus" }),
    ],
    ["no context length", "ERR_GGUF", ["context_length"], set("llama.context_length", null)],
    [
      "a tensor less",
      "ERR_GGUF",
      ["output_norm"],
      { tensors: (all) => all.filter(({ name }) => name !== "output_norm.weight") },
    ],
  ])("with %s is refused as %s", async (what, code, parts, changes) => {
    const changed = path(`${what}.gguf`);
    await rewriteGguf(file, changed, changes);
    await refused(ScoreModel.load(changed, { device: "cpu", threads: 1 }), code, ...parts);
  });

  it.each<[string, (target: string) => void]>([
    ["cut short", (target) => truncateSync(target, 100_000)],
    ["cut within its tensors", (target) => truncateSync(target, 2_000_000)],
    ["of text", (target) => writeFileSync(target, "version https://git-lfs.github.com/spec/v1\n")],
    ["of nothing", (target) => writeFileSync(target, "")],
  ])("%s is refused as ERR_GGUF, by its name", async (what, damage) => {
    const target = path(`${what}.gguf`);
    copyFileSync(file, target);
    damage(target);
    await refused(ScoreModel.load(target, { device: "cpu" }), "ERR_GGUF", target);
  });

  it("with more behind its end is read all the same", async () => {
    const target = path("longer.gguf");
    copyFileSync(file, target);
    appendFileSync(target, Buffer.alloc(64));
    await (await ScoreModel.load(target, { device: "cpu", threads: 1 })).close();
  });

  it("that is not there is refused", () =>
    refused(ScoreModel.load(path("none.gguf")), "ERR_NOT_FOUND", "none.gguf", "directory"));

  it("with NaN in its weights gives an error instead of a score, and only to those whom it concerns", async () => {
    const target = path("nan.gguf");
    const token = model.tokenize("hello")[1] as number;
    await rewriteGguf(file, target, {
      data: (name, bytes) => {
        if (name === "token_embd.weight") bytes.writeFloatLE(Number.NaN, 4 * 32 * token);
      },
    });
    await using damaged = await ScoreModel.load(target, { device: "cpu", threads: 1 });
    const good = model.score("goodbye");
    const outcomes = [damaged.score("goodbye"), damaged.score("hello"), damaged.score("goodbye")] as const;
    await refused(outcomes[1], "ERR_NON_FINITE", "NaN");
    for (const outcome of [outcomes[0], outcomes[2], damaged.score("goodbye")])
      expect((await outcome).endScores.data[0]).toBeCloseTo((await good).endScores.data[0] as number, 5);
  });

  it("whose weights overflow is refused likewise", async () => {
    const target = path("overflow.gguf");
    await rewriteGguf(file, target, fill("blk.0.ffn_down.weight", 3e38));
    await using damaged = await ScoreModel.load(target, { device: "cpu", threads: 1 });
    await refused(damaged.score("a"), "ERR_NON_FINITE");
  });
});

it("a checkpoint with NaN in its head is refused, and leaves nothing", async () => {
  const { directory: source } = await checkpoint("beaver-normalized-reward");
  const copy = path("beaver-reward");
  cpSync(source, copy, { recursive: true });
  const weight = (await openCheckpoint(copy)).tensors.get("score_head.weight");
  if (!weight) throw new Error("The fixture has no head.");
  const shard = await open(weight.file, "r+");
  await shard.write(Buffer.of(0xc0, 0x7f), 0, 2, weight.offset + 2 * 9); // a NaN in bf16, as the tenth number
  await shard.close();
  await refused(convert(copy, path("never.gguf")), "ERR_HEAD", "NaN", "index 9");
  await refused(ScoreModel.load(path("never.gguf")), "ERR_NOT_FOUND");
});
