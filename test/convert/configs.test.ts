/** What configs of the architectures become, and every setting that is refused because the scores would be wrong. */
import { beforeAll, describe, expect, it } from "vitest";
import { ARCHITECTURES } from "../../lib/architectures/index.ts";
import { openCheckpoint } from "../../lib/checkpoint/open.ts";
import { readTokenizer } from "../../lib/checkpoint/tokenizer.ts";
import type { Checkpoint, CheckpointTensor, CheckpointTokenizer, JsonObject } from "../../lib/checkpoint/types.ts";
import { LAYOUTS } from "../../lib/convert/layouts.ts";
import { type ConvertSurvey, type PlanOptions, surveyConversion } from "../../lib/convert/plan.ts";
import type { ErrorCode } from "../../lib/index.ts";
import type { CaseName } from "../fixtures/cases.ts";
import { workspace } from "../model/support.ts";

const { checkpoint } = workspace();

const NAMES = [
  "llama-classifier",
  "llama-longrope",
  "mistral-classifier",
  "qwen2-classifier",
  "qwen3-score",
  "gemma2-classifier",
  "phi3-classifier",
  "phi3-longrope",
  "internlm2-reward",
  "granite-classifier",
] as const satisfies readonly CaseName[];

const opened = new Map<CaseName, Checkpoint>();
let tokenizer: CheckpointTokenizer;
beforeAll(async () => {
  for (const name of NAMES) opened.set(name, await openCheckpoint((await checkpoint(name)).directory));
  tokenizer = await readTokenizer((await checkpoint("llama-classifier")).directory);
});

type Tensors = Map<string, CheckpointTensor>;

function survey(name: CaseName, config: JsonObject, change?: (tensors: Tensors) => void): Promise<ConvertSurvey> {
  const whole = opened.get(name) as Checkpoint;
  const tensors = new Map(whole.tensors);
  change?.(tensors);
  const options: PlanOptions = { profile: "beaver-reward", type: "auto", fallbackConfig: null };
  return surveyConversion({ ...whole, config: { ...whole.config, ...config }, tensors }, tokenizer, options);
}

async function keys(name: CaseName, config: JsonObject = {}): Promise<Record<string, unknown>> {
  const { plan, problems } = await survey(name, config);
  if (!plan) throw problems[0];
  const own = [...plan.metadata].filter(([key]) => /^(llama|qwen2|qwen3|gemma2|phi3|granite)\./.test(key));
  return Object.fromEntries(own.map(([key, { value }]) => [key.slice(key.indexOf(".") + 1), value]));
}

const length = async (name: CaseName, config: JsonObject = {}): Promise<unknown> =>
  (await keys(name, config)).context_length;

describe("every architecture", () => {
  it.each(ARCHITECTURES)("$className has transformers' and safe-rlhf's classes", ({ className }) => {
    for (const name of [`${className}ForSequenceClassification`, `${className}ForScore`])
      expect(LAYOUTS.filter(({ classes }) => classes.includes(name))).toHaveLength(1);
  });
});

it("GRM's class is that of any backbone, which the config names", async () => {
  const rename = (tensors: Tensors): void => {
    for (const part of ["weight", "bias"]) {
      const tensor = tensors.get(`score.${part}`);
      if (tensor) tensors.set(`v_head.summary.${part}`, tensor);
      tensors.delete(`score.${part}`);
    }
  };
  for (const [name, graph, maxLength] of [
    ["gemma2-classifier", "gemma2", 8192],
    ["mistral-classifier", "llama", 256],
  ] as const)
    for (const architecture of ["GRewardModel", "Gemma2ForCausalLM"]) {
      const config = { architectures: [architecture], id2label: undefined, vhead_layer_type: "linear" };
      const { plan, layout, problems } = await survey(name, config, rename);
      expect({ layout, problems }).toEqual({ layout: "GRewardModel", problems: [] });
      expect(plan?.metadata.get("general.architecture")?.value).toBe(graph);
      expect(plan?.head.maxLength).toBe(maxLength);
    }
});

describe("the length is capped", () => {
  it("at Mistral's window, which is 4096 where nothing is said", async () => {
    expect(await length("mistral-classifier", { sliding_window: undefined })).toBe(4096);
    expect(await length("mistral-classifier", { sliding_window: null })).toBe(32_768);
  });

  it.each(["mistral-classifier", "phi3-classifier"] as const)(
    "at the window of %s, whatever keys that its class does not have say",
    async (name) => {
      for (const config of [
        { use_sliding_window: false },
        { max_window_layers: 28 },
        { layer_types: ["full_attention", "full_attention"] },
      ])
        expect(await length(name, { ...config, sliding_window: 100 })).toBe(100);
    },
  );

  it("at Qwen's window where it is in use and a layer has it", async () => {
    const on = { use_sliding_window: true, sliding_window: 1000, max_window_layers: 1 };
    expect(await length("qwen2-classifier", on)).toBe(1000);
    expect(await length("qwen2-classifier", { ...on, use_sliding_window: false })).toBe(4096);
    expect(await length("qwen2-classifier", { ...on, use_sliding_window: false, sliding_window: 0 })).toBe(4096);
    expect(await length("qwen2-classifier", { ...on, use_sliding_window: undefined })).toBe(4096);
    expect(await length("qwen2-classifier", { ...on, max_window_layers: 2 })).toBe(4096);
    const kinds = (...layer_types: readonly string[]): JsonObject => ({ ...on, layer_types });
    expect(await length("qwen2-classifier", kinds("full_attention", "sliding_attention"))).toBe(1000);
    expect(await length("qwen2-classifier", kinds("full_attention", "full_attention"))).toBe(4096);
  });

  it("where a dynamic scaling begins, and where LongRoPE's long factors do", async () => {
    expect(await length("internlm2-reward")).toBe(32_768);
    const parameters = { rope_type: "dynamic", factor: 2, original_max_position_embeddings: 2048 };
    expect(await length("internlm2-reward", { rope_scaling: parameters })).toBe(2048);
    expect(await length("phi3-longrope")).toBe(256);
    expect(await length("llama-longrope")).toBe(256);
  });

  it("but not at Gemma's, which llama.cpp applies", async () => {
    expect(await keys("gemma2-classifier")).toMatchObject({
      context_length: 8192,
      "attention.sliding_window": 48,
      attn_logit_softcapping: 5,
    });
    const none = await keys("gemma2-classifier", { sliding_window: null });
    expect(none["attention.sliding_window"]).toBe(8192);
  });
});

describe("the pad token, which decides where a score is read", () => {
  const padToken = async (name: CaseName, config: JsonObject): Promise<unknown> =>
    (await survey(name, config)).plan?.metadata.get("tokenizer.ggml.padding_token_id")?.value;

  it("is the class's where the config does not say", async () => {
    for (const name of ["gemma2-classifier", "internlm2-reward"] as const) {
      for (const config of [{}, { model_type: undefined }])
        expect(await padToken(name, { ...config, pad_token_id: undefined })).toBe(0);
      expect(await padToken(name, { pad_token_id: 7 })).toBe(7);
      expect(await padToken(name, { pad_token_id: null })).toBeUndefined();
    }
    expect(await padToken("llama-classifier", { pad_token_id: undefined })).toBeUndefined();
  });

  it("is none where the class's is beyond the vocabulary", async () => {
    expect(await padToken("phi3-classifier", { pad_token_id: undefined })).toBeUndefined();
  });
});

describe("RoPE scaling", () => {
  it("is read as transformers 5 writes it, and with its rope_theta", async () => {
    const parameters = { rope_type: "linear", factor: 4, rope_theta: 10_000 };
    const config = { rope_scaling: undefined, rope_theta: undefined, rope_parameters: parameters };
    const old = await keys("mistral-classifier");
    expect(old).toMatchObject({ "rope.scaling.type": "linear", "rope.scaling.factor": 4, "rope.freq_base": 10_000 });
    expect(await keys("mistral-classifier", config)).toEqual(old);
  });

  it("becomes llama.cpp's keys: YaRN's standard magnitude is its own", async () => {
    const yarn = { rope_type: "yarn", factor: 4, original_max_position_embeddings: 64 };
    const base = await keys("qwen2-classifier", { rope_scaling: yarn });
    expect(base).toMatchObject({
      "rope.scaling.type": "yarn",
      "rope.scaling.factor": 4,
      "rope.scaling.original_context_length": 64,
    });
    expect(base).not.toHaveProperty(["rope.scaling.attn_factor"]);
    const magnitude = (by: number): number => 0.1 * by * Math.log(4) + 1;
    const given = await keys("qwen2-classifier", { rope_scaling: { ...yarn, attention_factor: 1.5 } });
    expect(given["rope.scaling.attn_factor"]).toBeCloseTo(1.5 / magnitude(1), 6);
    const scaled = await keys("qwen2-classifier", { rope_scaling: { ...yarn, mscale: 2, mscale_all_dim: 0.5 } });
    expect(scaled["rope.scaling.attn_factor"]).toBeCloseTo(magnitude(2) / magnitude(0.5) / magnitude(1), 6);
  });

  it("gives Phi-3's first name for LongRoPE the same meaning", async () => {
    const published = opened.get("phi3-longrope")?.config?.rope_scaling;
    const named = { rope_scaling: { ...(published as JsonObject), type: "su" } };
    expect(await keys("phi3-longrope", named)).toEqual(await keys("phi3-longrope"));
  });
});

it("keeps as many key heads as Mistral's class assumes", async () => {
  expect((await keys("mistral-classifier"))["attention.head_count_kv"]).toBe(8);
  const { problems } = await survey("mistral-classifier", { num_key_value_heads: null });
  expect(problems[0]?.message).toContain("k_proj");
});

it("names several outputs as the config does, and one by its type", async () => {
  const labels = async (config: JsonObject): Promise<unknown> =>
    (await survey("llama-classifier", config)).plan?.head.labels;
  expect(await labels({})).toEqual(["helpful", "honest", "harmless"]);
  const plain = { 0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2" };
  expect(await labels({ id2label: plain })).toEqual(["reward_0", "reward_1", "reward_2"]);
  expect(await labels({ id2label: undefined, num_labels: 3 })).toEqual(["reward_0", "reward_1", "reward_2"]);
  expect((await survey("gemma2-classifier", { id2label: { 0: "good" } })).plan?.head.labels).toEqual(["reward"]);
});

it("takes keys that say nothing, or nothing about the hidden state", async () => {
  const config = { use_parallel_residual: false, logit_bias: null, adapters: {}, _anything: 1, attention_dropout: 0.1 };
  expect((await survey("qwen3-score", { ...config, sep_token_id: 5, top_p: 0.9 })).problems).toEqual([]);
  expect((await survey("phi3-longrope", { full_attn_mod: 1, interpolate_factor: 1 })).problems).toEqual([]);
});

const yarn = (more: JsonObject): JsonObject => ({ rope_scaling: { rope_type: "yarn", factor: 4, ...more } });
const bias = (tensors: Tensors): unknown =>
  tensors.set("model.layers.0.self_attn.q_proj.bias", tensors.get("model.norm.weight") as CheckpointTensor);

describe("is refused:", () => {
  it.each<[string, CaseName, JsonObject, ErrorCode, readonly string[], ((tensors: Tensors) => void)?]>([
    ["another model_type", "llama-classifier", { model_type: "granite" }, "ERR_UNSUPPORTED", ["granite", "llama"]],
    [
      "an unknown setting",
      "llama-classifier",
      { residual_multiplier: 0.22 },
      "ERR_UNSUPPORTED",
      ["residual_multiplier"],
    ],
    [
      "a setting of another class",
      "mistral-classifier",
      { attention_bias: true },
      "ERR_UNSUPPORTED",
      ["attention_bias"],
    ],
    [
      "quantised weights",
      "qwen2-classifier",
      { quantization_config: { bits: 4 } },
      "ERR_UNSUPPORTED",
      ["quantization"],
    ],
    ["OpenRLHF's normaliser", "llama-classifier", { normalize_reward: true }, "ERR_UNSUPPORTED", ["normalize_reward"]],
    [
      "another activation",
      "gemma2-classifier",
      { hidden_activation: "gelu" },
      "ERR_UNSUPPORTED",
      ["hidden_activation"],
    ],
    ["no soft cap", "gemma2-classifier", { attn_logit_softcapping: null }, "ERR_CONFIG", ["attn_logit_softcapping"]],
    ["a bias in Gemma", "gemma2-classifier", { attention_bias: true }, "ERR_UNSUPPORTED", ["attention_bias"]],
    [
      "windows in other layers than llama.cpp's",
      "gemma2-classifier",
      { layer_types: ["full_attention", "sliding_attention", "full_attention", "sliding_attention"] },
      "ERR_UNSUPPORTED",
      ["layer_types"],
    ],
    [
      "a kind of layer",
      "qwen2-classifier",
      { layer_types: ["linear_attention", "x"] },
      "ERR_UNSUPPORTED",
      ["layer_types"],
    ],
    [
      "attention both ways",
      "gemma2-classifier",
      { use_bidirectional_attention: true },
      "ERR_UNSUPPORTED",
      ["bidirectional"],
    ],
    ["biases in the MLP", "granite-classifier", { mlp_bias: true }, "ERR_UNSUPPORTED", ["mlp_bias"]],
    [
      "no attention multiplier",
      "granite-classifier",
      { attention_multiplier: 0 },
      "ERR_CONFIG",
      ["attention_multiplier"],
    ],
    ["heads that do not make up the width", "qwen2-classifier", { head_dim: 32 }, "ERR_UNSUPPORTED", ["hidden size"]],
    ["half a rotation", "qwen3-score", { partial_rotary_factor: 0.5 }, "ERR_UNSUPPORTED", ["partial_rotary_factor"]],
    ["an odd part of a rotation", "phi3-classifier", { partial_rotary_factor: 0.2 }, "ERR_UNSUPPORTED", ["0.2"]],
    [
      "a scaling that the graph lacks",
      "qwen2-classifier",
      { rope_scaling: { rope_type: "llama3", factor: 8 } },
      "ERR_UNSUPPORTED",
      ["llama3", "qwen2"],
    ],
    ["YaRN in Phi-3", "phi3-classifier", yarn({}), "ERR_UNSUPPORTED", ["yarn"]],
    ["another beta of YaRN", "qwen2-classifier", yarn({ beta_fast: 16 }), "ERR_UNSUPPORTED", ["beta_fast"]],
    ["YaRN that does not truncate", "qwen2-classifier", yarn({ truncate: false }), "ERR_UNSUPPORTED", ["truncate"]],
    ["YaRN that shrinks", "qwen2-classifier", yarn({ factor: 0.5 }), "ERR_UNSUPPORTED", ["factor"]],
    [
      "an unknown word of a scaling",
      "qwen2-classifier",
      yarn({ extrapolation: 2 }),
      "ERR_UNSUPPORTED",
      ["extrapolation"],
    ],
    [
      "two kinds of scaling at once",
      "qwen2-classifier",
      yarn({ type: "linear" }),
      "ERR_CONFIG",
      ["rope_type", "linear"],
    ],
    [
      "two scalings at once",
      "qwen2-classifier",
      { rope_parameters: { rope_type: "linear", factor: 3 } },
      "ERR_CONFIG",
      ["rope_scaling", "rope_parameters"],
    ],
    ["a base beside another one", "qwen3-score", { rope_theta: 5 }, "ERR_CONFIG", ["rope_theta", "rope_parameters"]],
    [
      "Llama 3's factors in the wrong order",
      "llama-classifier",
      { rope_scaling: { rope_type: "llama3", factor: 8, low_freq_factor: 4, high_freq_factor: 1 } },
      "ERR_CONFIG",
      ["high_freq_factor"],
    ],
    [
      "LongRoPE's factor beside another ratio",
      "llama-longrope",
      {
        original_max_position_embeddings: 512,
        rope_scaling: { rope_type: "longrope", factor: 4, short_factor: [], long_factor: [] },
      },
      "ERR_CONFIG",
      ["factor", "ratio"],
    ],
    [
      "too few of LongRoPE's factors",
      "llama-longrope",
      { rope_scaling: { rope_type: "longrope", short_factor: [1], long_factor: [2] } },
      "ERR_CONFIG",
      ["short_factor", "8 positive numbers"],
    ],
    [
      "biases that the config promises",
      "granite-classifier",
      { attention_bias: true },
      "ERR_TENSOR",
      ["self_attn.q_proj.bias", "12 tensors"],
    ],
    ["biases that it does not speak of", "granite-classifier", {}, "ERR_TENSOR", ["q_proj.bias", "lose"], bias],
    ["biases that its class assumes", "internlm2-reward", { bias: undefined }, "ERR_TENSOR", ["attention.wqkv.bias"]],
    [
      "a bias that the graph lacks",
      "qwen3-score",
      { attention_bias: true },
      "ERR_UNSUPPORTED",
      ["attn_output", "qwen3"],
    ],
    [
      "other outputs than labels",
      "gemma2-classifier",
      { num_labels: 2, id2label: undefined },
      "ERR_HEAD",
      ["2", "score.weight"],
    ],
    ["other outputs than names", "llama-classifier", { id2label: { 0: "good" } }, "ERR_HEAD", ["1", "3"]],
    ["other outputs than score_dim", "qwen3-score", { score_dim: 1 }, "ERR_HEAD", ["score_head.weight"]],
  ])("%s", async (_, name, config, code, parts, change) => {
    const { plan, problems } = await survey(name, config, change);
    expect(plan).toBeNull();
    expect(problems[0]).toMatchObject({ code });
    for (const part of parts) expect(problems[0]?.message).toContain(part);
  });
});

it("a survey names everything that stands in the way", async () => {
  const config = { hidden_act: "relu", num_labels: 5, id2label: undefined, vocab_size: 7, experts: 8 };
  const damage = (tensors: Tensors): void => {
    tensors.delete("model.layers.1.mlp.up_proj.weight");
    tensors.set("model.extra", tensors.get("model.norm.weight") as CheckpointTensor);
  };
  const messages = async (given: JsonObject): Promise<string> => {
    const { layout, plan, problems } = await survey("granite-classifier", given, damage);
    expect({ layout, plan }).toEqual({ layout: "GraniteForSequenceClassification", plan: null });
    return problems.map(({ code, message }) => `${code} ${message}`).join("\n");
  };
  const wrong = { attention_multiplier: -1, rms_norm_eps: 0, rope_scaling: { type: "ntk" }, layer_types: ["x"] };
  const all = await messages({ ...config, ...wrong });
  for (const part of [
    /ERR_UNSUPPORTED .*relu/,
    /ERR_UNSUPPORTED .*"ntk"/,
    /ERR_UNSUPPORTED .*layer_types/,
    /ERR_CONFIG .*attention_multiplier/,
    /ERR_CONFIG .*rms_norm_eps/,
    /ERR_UNSUPPORTED config.json has experts: 8, which/,
    /ERR_TENSOR .*vocab_size 7/,
    /ERR_TENSOR .*lacks the tensor layers\.1\.mlp\.up_proj\.weight/,
    /ERR_HEAD .*5 outputs/,
    /ERR_TENSOR .*model\.extra/,
  ])
    expect(all).toMatch(part);
  // Without sizes no tensor can be judged; what can be told is.
  const early = await messages({ ...config, hidden_size: 0 });
  for (const part of [/ERR_UNSUPPORTED .*relu/, /ERR_CONFIG .*hidden_size/, /ERR_TENSOR .*vocab_size 7/])
    expect(early).toMatch(part);
});
