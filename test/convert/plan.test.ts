/** What a conversion makes of a checkpoint, and every reason to refuse one, by name. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { readJsonIfPresent } from "../../lib/checkpoint/json.ts";
import { openCheckpoint } from "../../lib/checkpoint/open.ts";
import { readTokenizer } from "../../lib/checkpoint/tokenizer.ts";
import type { Checkpoint, CheckpointTensor, CheckpointTokenizer, JsonObject } from "../../lib/checkpoint/types.ts";
import { type ConvertPlan, type PlanOptions, surveyConversion } from "../../lib/convert/plan.ts";
import { tensorBytes } from "../../lib/convert/tensor-data.ts";
import type { ErrorCode } from "../../lib/index.ts";
import type { CaseName } from "../fixtures/cases.ts";
import { refused } from "../gguf/support.ts";
import { workspace } from "../model/support.ts";
import { planOf } from "./support.ts";

const { checkpoint, path } = workspace();

/** 32 wide, one layer, two heads, float32; a 1-wide head with bias. */
const SMALL = "beaver-old-tokenizer";

interface Opened {
  readonly checkpoint: Checkpoint;
  readonly tokenizer: CheckpointTokenizer;
  /** Of the directory with the tokenizer. */
  readonly fallbackConfig: JsonObject | null;
}
async function opened(name: CaseName): Promise<Opened> {
  const { directory, tokenizerDirectory } = await checkpoint(name);
  return {
    checkpoint: await openCheckpoint(directory),
    tokenizer: await readTokenizer(tokenizerDirectory),
    fallbackConfig: await readJsonIfPresent(join(tokenizerDirectory, "config.json"), "ERR_CONFIG"),
  };
}

let small: Opened;
beforeAll(async () => {
  small = await opened(SMALL);
});

interface Changes {
  readonly config?: JsonObject;
  readonly tensors?: (tensors: Map<string, CheckpointTensor>) => void;
  readonly tokenizer?: Partial<CheckpointTokenizer>;
  readonly profile?: string;
  readonly from?: Opened;
}
function plan({ config, tensors, tokenizer, profile = "beaver-reward", from = small }: Changes): Promise<ConvertPlan> {
  const changed = new Map(from.checkpoint.tensors);
  tensors?.(changed);
  const own = from.checkpoint.config;
  const whole = { ...from.checkpoint, config: own && { ...own, ...config }, tensors: changed };
  const options: PlanOptions = { profile, type: "auto", fallbackConfig: from.fallbackConfig };
  return planOf(surveyConversion(whole, { ...from.tokenizer, ...tokenizer }, options));
}

/** Replaces a tensor's description. */
const alter =
  (name: string, changes: Partial<CheckpointTensor>) =>
  (tensors: Map<string, CheckpointTensor>): void => {
    const tensor = tensors.get(name);
    if (!tensor) throw new Error(`The fixture has no ${name}.`);
    tensors.set(name, { ...tensor, ...changes });
  };

const Q = "model.layers.0.self_attn.q_proj.weight";
const EMBEDDING = "model.embed_tokens.weight";

describe("a plan", () => {
  it("names every tensor as llama.cpp does, matrices in the checkpoint's type, vectors in f32", async () => {
    const from = await opened("beaver-cost");
    const { tensors, baseType, type } = await plan({ from });
    expect([baseType, type]).toEqual(["BF16", "bf16"]);
    const found = new Map(tensors.map(({ name, type, dims }) => [name, { type, dims }]));
    expect(found.size).toBe(2 + 3 * 9);
    expect(found.get("token_embd.weight")).toEqual({ type: "BF16", dims: [64, 32_001] });
    expect(found.get("output_norm.weight")).toEqual({ type: "F32", dims: [64] });
    expect(found.get("blk.2.ffn_down.weight")).toEqual({ type: "BF16", dims: [160, 64] });
    expect(found.has("output.weight")).toBe(false);
  });

  it("takes the head's bias where the tensor is, whatever the config says", async () => {
    expect((await plan({ config: { score_bias: false } })).head.network.layers[0]?.bias).toHaveLength(1);
    const without = await plan({
      tensors: (tensors) => tensors.delete("score_head.bias"),
      config: { score_bias: true },
    });
    expect(without.head.network.layers[0]?.bias).toBeNull();
  });

  it("lists what scoring does not read", async () => {
    expect((await plan({ from: await opened("beaver-cost") })).ignored).toEqual(["normalizer.count"]);
    const plain = await plan({ from: await opened("starling-plain"), profile: "starling" });
    expect([...plain.ignored].sort()).toEqual([
      "model.layers.0.self_attn.rotary_emb.inv_freq",
      "model.layers.1.self_attn.rotary_emb.inv_freq",
      "model.lm_head.weight",
    ]);
  });

  it("takes LlamaModelForScore, the older name, as the same", async () => {
    const { layout } = await plan({ config: { architectures: ["LlamaModelForScore"] } });
    expect(layout).toBe("LlamaModelForScore");
  });

  it("caps the length at a sliding window", async () => {
    const from = await opened("dpa");
    const length = async (config: JsonObject): Promise<number> =>
      (await plan({ from, profile: "dpa", config })).head.maxLength;
    expect(await length({})).toBe(32_768);
    expect(await length({ sliding_window: 4096 })).toBe(4096);
    expect(await length({ sliding_window: 100_000 })).toBe(32_768);
  });

  it("takes the config's default rotary embedding in all its spellings", async () => {
    for (const rope of [
      { rope_scaling: null },
      { rope_scaling: { rope_type: "default" } },
      { rope_scaling: undefined, rope_theta: undefined, rope_parameters: { rope_type: "default", rope_theta: 500 } },
    ]) {
      const { metadata } = await plan({ config: rope });
      const expected = "rope_parameters" in rope ? 500 : 10_000;
      expect(metadata.get("llama.rope.freq_base")?.value).toBe(expected);
    }
  });

  it("fills embedding rows beyond the tokenizer with tokens that no text produces", async () => {
    const { tokens, scores, kinds, addedTokens } = small.tokenizer;
    const shorter = {
      tokens: tokens.slice(0, -1),
      scores: scores.slice(0, -1),
      kinds: kinds.slice(0, -1),
      addedTokens: addedTokens.filter(({ id }) => id < tokens.length - 1),
      padId: null,
    };
    const { metadata } = await plan({ tokenizer: shorter });
    const keys = ["tokens", "scores", "token_type"].map((key) => metadata.get(`tokenizer.ggml.${key}`)?.value);
    for (const values of keys) expect(values).toHaveLength(32_001);
    expect((keys[0] as readonly string[]).at(-1)).toBe("[PAD32000]");
    expect((keys[2] as Int32Array).at(-1)).toBe(5);
  });
});

describe("is refused:", () => {
  it.each<[string, ErrorCode, readonly string[], Changes]>([
    [
      "an unmapped tensor",
      "ERR_TENSOR",
      ["model.extra.weight", "lose"],
      { tensors: (t) => t.set("model.extra.weight", t.get(Q) as CheckpointTensor) },
    ],
    ["a missing tensor", "ERR_TENSOR", ["self_attn.q_proj.weight", "lacks"], { tensors: (t) => t.delete(Q) }],
    ["a missing embedding", "ERR_TENSOR", [EMBEDDING], { tensors: (t) => t.delete(EMBEDDING) }],
    ["a missing head", "ERR_TENSOR", ["score_head.weight"], { tensors: (t) => t.delete("score_head.weight") }],
    [
      "a layer more than the config has",
      "ERR_TENSOR",
      ["model.layers.1.mlp"],
      { tensors: (t) => t.set("model.layers.1.mlp.up_proj.weight", t.get(Q) as CheckpointTensor) },
    ],
    ["a layer less", "ERR_TENSOR", ["layers.1."], { config: { num_hidden_layers: 2 } }],
    ["a wrong shape", "ERR_TENSOR", [Q, "[32, 16]", "[32, 32]"], { tensors: alter(Q, { shape: [32, 16] }) }],
    ["a wrong number of axes", "ERR_TENSOR", [Q, "[32, 32, 1]"], { tensors: alter(Q, { shape: [32, 32, 1] }) }],
    ["integer weights", "ERR_TENSOR", [Q, "I8"], { tensors: alter(Q, { dtype: "I8" }) }],
    [
      "a head of another width",
      "ERR_HEAD",
      ["16", "32"],
      { tensors: alter("score_head.weight", { shape: [1, 16], byteLength: 64 }) },
    ],
    [
      "a head of three axes",
      "ERR_TENSOR",
      ["score_head.weight"],
      { tensors: alter("score_head.weight", { shape: [1, 1, 32] }) },
    ],
    [
      "a bias of another size",
      "ERR_TENSOR",
      ["score_head.bias", "[2]"],
      { tensors: alter("score_head.bias", { shape: [2] }) },
    ],
    [
      "an unknown architecture",
      "ERR_UNSUPPORTED",
      ["QwenForScore", "LlamaForScore"],
      { config: { architectures: ["QwenForScore"] } },
    ],
    ["no architecture", "ERR_UNSUPPORTED", ["no architecture"], { config: { architectures: [] } }],
    [
      "an unknown head",
      "ERR_TENSOR",
      ["lacks", "score_head.weight"],
      {
        tensors: (t) => {
          t.set("value_head.weight", t.get("score_head.weight") as CheckpointTensor);
          t.delete("score_head.weight");
        },
      },
    ],
    ["an unknown profile", "ERR_ARGUMENT", ["beavers", "beaver-cost"], { profile: "beavers" }],
    ["a profile of another width", "ERR_HEAD", ["10 outputs"], { profile: "dpa" }],
    [
      "a tokenizer larger than the embedding",
      "ERR_TENSOR",
      ["100", "vocab_size"],
      { tensors: alter(EMBEDDING, { shape: [100, 32] }) },
    ],
    [
      "the same with a config that agrees",
      "ERR_TOKENIZER",
      ["32001", "100"],
      { tensors: alter(EMBEDDING, { shape: [100, 32] }), config: { vocab_size: 100, pad_token_id: null } },
    ],
    ["another vocab_size", "ERR_TENSOR", ["32001", "vocab_size 32000"], { config: { vocab_size: 32_000 } }],
    [
      "an unknown scaling of the rotary embedding",
      "ERR_UNSUPPORTED",
      ["ntk", "linear"],
      { config: { rope_scaling: { type: "ntk", factor: 2 } } },
    ],
    [
      "the same as transformers 5 writes it",
      "ERR_UNSUPPORTED",
      ["ntk"],
      { config: { rope_scaling: undefined, rope_parameters: { rope_type: "ntk", factor: 8 } } },
    ],
    ["a scaling without a type", "ERR_UNSUPPORTED", ["factor"], { config: { rope_scaling: { factor: 8 } } }],
    ["another activation", "ERR_UNSUPPORTED", ["gelu"], { config: { hidden_act: "gelu" } }],
    ["biases in the MLP", "ERR_UNSUPPORTED", ["mlp_bias"], { config: { mlp_bias: true } }],
    ["a partial rotary embedding", "ERR_UNSUPPORTED", ["0.5"], { config: { partial_rotary_factor: 0.5 } }],
    ["no hidden size", "ERR_CONFIG", ["hidden_size is missing"], { config: { hidden_size: undefined } }],
    ["heads that do not divide the width", "ERR_CONFIG", ["head_dim"], { config: { num_attention_heads: 3 } }],
    [
      "key heads that do not divide the heads",
      "ERR_CONFIG",
      ["num_key_value_heads", "divisor"],
      { config: { num_attention_heads: 8, head_dim: 4, num_key_value_heads: 3 } },
    ],
    ["an odd head size", "ERR_CONFIG", ["head_dim", "even"], { config: { head_dim: 15 } }],
    ["a layer count as text", "ERR_CONFIG", ["num_hidden_layers", '"1"'], { config: { num_hidden_layers: "1" } }],
    ["no layers", "ERR_CONFIG", ["num_hidden_layers is 0"], { config: { num_hidden_layers: 0 } }],
    ["an epsilon of nothing", "ERR_CONFIG", ["rms_norm_eps"], { config: { rms_norm_eps: 0 } }],
    ["a rotary base below zero", "ERR_CONFIG", ["rope_theta"], { config: { rope_theta: -1 } }],
    [
      "a pad token outside the vocabulary",
      "ERR_CONFIG",
      ["pad_token_id", "99999"],
      { config: { pad_token_id: 99_999 } },
    ],
    [
      "a normaliser of an unknown function",
      "ERR_CONFIG",
      ["score_type"],
      { config: { do_normalize: true, score_type: "other" } },
    ],
    [
      "a normaliser without its numbers",
      "ERR_CONFIG",
      ["normalizer.mean"],
      { config: { do_normalize: true, mean: null } },
    ],
    ["a normaliser of another width", "ERR_CONFIG", ["1 numbers"], { config: { do_normalize: true, mean: [1, 2] } }],
    ["a variance below zero", "ERR_HEAD", ["variance", "-1"], { config: { do_normalize: true, var: [-1] } }],
  ])("%s", async (_, code, parts, changes) => refused(plan(changes), code, ...parts));

  it("a checkpoint without config, which names the way to give one", async () => {
    const { checkpoint: starling, tokenizer } = await opened("starling");
    const options: PlanOptions = { profile: "starling", type: "auto", fallbackConfig: null };
    await refused(planOf(surveyConversion(starling, tokenizer, options)), "ERR_CONFIG", "--tokenizer");
  });

  it("NaN in the head, with its place", async () => {
    const weight = small.checkpoint.tensors.get("score_head.weight") as CheckpointTensor;
    const file = path("nan");
    writeFileSync(
      file,
      Float32Array.from({ length: 32 }, (_, i) => (i === 5 ? Number.NaN : 1)),
    );
    const tensors = alter("score_head.weight", { file, offset: 0, byteLength: weight.byteLength });
    await refused(plan({ tensors }), "ERR_HEAD", "NaN", "index 5");
  });

  it("two tensors under the names of one", async () => {
    const from = await opened("starling");
    const alias = `transformer.${Q.slice("model.".length)}`;
    const elsewhere = alter(alias, { offset: (from.checkpoint.tensors.get(alias)?.offset ?? 0) + 2 });
    const planned = plan({ from, profile: "starling", tensors: elsewhere });
    await refused(planned, "ERR_TENSOR", alias, `model.${Q}`, "two different ones");
  });
});

describe("the rows of Q and K", () => {
  /** A tensor of `rows` rows of one float32 each: its own row number. */
  async function permuted(rows: number, heads: number | null): Promise<number[]> {
    const file = join(path(), `rows-${rows}`);
    writeFileSync(
      file,
      Float32Array.from({ length: rows }, (_, i) => i),
    );
    const tensor = { name: "q", dtype: "F32", shape: [rows, 1], file, offset: 0, byteLength: 4 * rows } as const;
    const blocks =
      heads && Array.from({ length: heads }, (_, i) => ({ start: (i * rows) / heads, count: rows / heads }));
    const planned = {
      name: "q",
      dims: [1, rows],
      type: "F32",
      byteLength: 4 * rows,
      source: { kind: "checkpoint", tensor, blocks: blocks || null, interleaved: heads !== null, scale: 1, offset: 0 },
    } as const;
    const chunks: Uint8Array[] = [];
    for await (const chunk of tensorBytes(planned)) chunks.push(chunk);
    return [...new Float32Array(new Uint8Array(Buffer.concat(chunks)).buffer)];
  }

  it("are interleaved head by head: first half and second half in turn", async () => {
    expect(await permuted(8, 2)).toEqual([0, 2, 1, 3, 4, 6, 5, 7]);
    expect(await permuted(8, 1)).toEqual([0, 4, 1, 5, 2, 6, 3, 7]);
    expect(await permuted(4, 2)).toEqual([0, 1, 2, 3]);
  });

  it("of other tensors stay as they are", async () => {
    expect(await permuted(6, null)).toEqual([0, 1, 2, 3, 4, 5]);
  });
});
