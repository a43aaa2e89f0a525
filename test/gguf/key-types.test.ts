/** A file is not called ready where llama.cpp would refuse it for the type of a key. */
import { describe, expect, it } from "vitest";
import type { GgufValue } from "../../lib/gguf/types.ts";
import { inspect, ScoreModel } from "../../lib/index.ts";
import { rewriteGguf } from "../model/rewrite.ts";
import { workspace } from "../model/support.ts";
import { refused } from "./support.ts";

const { gguf, path } = workspace();
const word: GgufValue = { type: "string", value: "x" };
const seven: GgufValue = { type: "u32", value: 7 };
const types = (count: number): GgufValue => ({ type: "array", of: "i32", value: new Int32Array(count).fill(1) });

describe("a key of another type than llama.cpp's", () => {
  it.each<[string, GgufValue]>([
    ["llama.block_count", { type: "i32", value: 2 }],
    ["llama.attention.layer_norm_rms_epsilon", seven],
    ["llama.rope.freq_base", seven],
    ["llama.vocab_size", word],
    ["general.file_type", word],
    ["general.name", seven],
    ["tokenizer.ggml.pre", seven],
    ["tokenizer.ggml.token_type", word],
    ["tokenizer.ggml.token_type", types(31_999)],
    ["tokenizer.ggml.eot_token_id", word],
    ["tokenizer.ggml.add_sep_token", seven],
  ])("is a problem: %s", async (key, value) => {
    const file = path("odd.gguf");
    await rewriteGguf(await gguf("beaver-reward"), file, { metadata: (metadata) => metadata.set(key, value) });
    const [problem] = (await inspect(file)).problems;
    expect(problem).toMatchObject({ code: "ERR_GGUF", message: expect.stringContaining(key) });
    await refused(ScoreModel.load(file, { device: "cpu", threads: 1 }), "ERR_GGUF", key);
  });
});
