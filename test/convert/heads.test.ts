/** The published heads that are no plain linear layer: what becomes of their tensors, and every reason to refuse one. */
import { open } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { openCheckpoint } from "../../lib/checkpoint/open.ts";
import { readTokenizer } from "../../lib/checkpoint/tokenizer.ts";
import type { CheckpointTensor, JsonObject } from "../../lib/checkpoint/types.ts";
import { type ConvertPlan, surveyConversion } from "../../lib/convert/plan.ts";
import { validateHead } from "../../lib/head/spec.ts";
import { type ErrorCode, headReport } from "../../lib/index.ts";
import { refused } from "../gguf/support.ts";
import { workspace } from "../model/support.ts";
import { planOf } from "./support.ts";

const { checkpoint } = workspace();

type Name = "grm" | "inform" | "armorm" | "grm-gemma2" | "qwen2-reward";
type Tensors = Map<string, CheckpointTensor>;
interface Changes {
  readonly config?: JsonObject;
  readonly tensors?: (tensors: Tensors) => void;
}

async function plan(name: Name, { config, tensors }: Changes = {}): Promise<ConvertPlan> {
  const { directory } = await checkpoint(name);
  const opened = await openCheckpoint(directory);
  const changed = new Map(opened.tensors);
  tensors?.(changed);
  const whole = { ...opened, config: { ...opened.config, ...config }, tensors: changed };
  const tokenizer = await readTokenizer(directory);
  return planOf(surveyConversion(whole, tokenizer, { profile: undefined, type: "auto", fallbackConfig: null }));
}

const without =
  (...names: string[]) =>
  (tensors: Tensors): void => {
    for (const name of names) tensors.delete(name);
  };
const alter =
  (name: string, changes: Partial<CheckpointTensor>) =>
  (tensors: Tensors): void => {
    tensors.set(name, { ...(tensors.get(name) as CheckpointTensor), ...changes });
  };
const rename =
  (from: string, to: string) =>
  (tensors: Tensors): void => {
    tensors.set(to, { ...(tensors.get(from) as CheckpointTensor), name: to });
    tensors.delete(from);
  };

describe("a plan", () => {
  it.each([
    ["grm", "grm", "mlp", [96, 96, 1], 1],
    ["inform", "inf-orm", "mlp", [72, 1], 1],
    ["armorm", "armorm", "gated", [19], 20],
    ["grm-gemma2", "grm", "mlp", [96, 1], 1],
    ["qwen2-reward", "worldpm", "mlp", [64, 1], 1],
  ] as const)("of %s has the published head", async (name, published, kind, layers, outputs) => {
    const { head, ignored, profile } = await plan(name);
    expect(headReport(head)).toMatchObject({ kind, layers, outputs, type: "reward" });
    expect(profile.name).toBe(published);
    expect(ignored).toEqual([]);
  });

  it("of a gated head has its score first, then the rewards by the card's names", async () => {
    const { labels } = (await plan("armorm")).head;
    expect(labels.slice(0, 2)).toEqual(["reward", "helpsteer-helpfulness"]);
    expect(labels.at(-1)).toBe("code-readability");
  });

  it("tells a GRM by its head, whatever its config calls it", async () => {
    expect((await plan("grm")).layout).toBe("GRewardModel");
    expect((await plan("grm", { config: { architectures: ["Gemma2ForCausalLM"] } })).layout).toBe("GRewardModel");
  });

  it("of a gated head takes a config that counts the mixed score", async () => {
    const { head } = await plan("armorm", { config: { id2label: { 0: "LABEL_0" }, num_labels: 1 } });
    expect(head.outputs).toBe(20);
  });

  it("has the backbone that the config's model_type names", async () => {
    const keys = async (name: Name, config: JsonObject = {}): Promise<unknown[]> => {
      const { metadata } = await plan(name, { config });
      const graph = metadata.get("general.architecture")?.value;
      return [graph, metadata.get(`${graph}.context_length`)?.value];
    };
    expect(await keys("grm-gemma2")).toEqual(["gemma2", 8192]);
    expect(await keys("grm")).toEqual(["llama", 8192]);
    expect(await keys("grm", { model_type: undefined })).toEqual(["llama", 8192]);
    // Mistral's window, where its config says nothing of one.
    expect(await keys("grm", { model_type: "mistral" })).toEqual(["llama", 4096]);
  });

  it("takes GRM's linear head, and an LM head beside it", async () => {
    const { head, ignored } = await plan("grm", {
      tensors: (tensors) => {
        without("v_head.summary.0.weight", "v_head.summary.0.bias")(tensors);
        without("v_head.summary.2.weight", "v_head.summary.2.bias")(tensors);
        alter("v_head.summary.4.weight", { shape: [1, 64], byteLength: 128 })(tensors);
        rename("v_head.summary.4.weight", "v_head.summary.weight")(tensors);
        rename("v_head.summary.4.bias", "v_head.summary.bias")(tensors);
        rename("model.embed_tokens.weight", "lm_head.weight")(tensors);
        tensors.set("model.embed_tokens.weight", tensors.get("lm_head.weight") as CheckpointTensor);
      },
    });
    expect(headReport(head)).toMatchObject({ kind: "linear", layers: [1], bias: true });
    expect(ignored).toEqual(["lm_head.weight"]);
  });
});

it.each<[string, Name, JsonObject, string]>([
  [
    "GRM on Gemma 1",
    "grm",
    { model_type: "gemma" },
    'is "gemma", and GRewardModel converts with "llama", "mistral", "qwen2"',
  ],
  [
    "a process reward model",
    "qwen2-reward",
    { architectures: ["Qwen2ForProcessRewardModel"] },
    "Qwen2ForProcessReward",
  ],
])("%s is refused", (_, name, config, part) => refused(plan(name, { config }), "ERR_UNSUPPORTED", part));

describe("a head is refused", () => {
  const cases: [string, Name, Changes, ErrorCode, string][] = [
    ["without its last layer", "inform", { tensors: without("score.2.weight") }, "ERR_TENSOR", "score.2.weight"],
    [
      "without a layer between",
      "grm",
      { tensors: without("v_head.summary.2.weight") },
      "ERR_TENSOR",
      "v_head.summary.2",
    ],
    ["without a bias", "inform", { tensors: without("score.0.bias") }, "ERR_TENSOR", "score.0.bias"],
    [
      "with fewer layers than its config says",
      "grm",
      { tensors: without("v_head.summary.4.weight", "v_head.summary.4.bias") },
      "ERR_TENSOR",
      "v_head.summary.4.weight",
    ],
    [
      "with more layers than its config says",
      "grm",
      { config: { vhead_num_layers: 1 } },
      "ERR_TENSOR",
      "v_head.summary.4",
    ],
    [
      "with layers that do not fit each other",
      "inform",
      { tensors: alter("score.2.weight", { shape: [1, 36], byteLength: 144 }) },
      "ERR_HEAD",
      "takes 36 numbers, but 72",
    ],
    [
      "of another width than the backbone",
      "inform",
      { tensors: alter("score.0.weight", { shape: [72, 36], byteLength: 4 * 72 * 36 }) },
      "ERR_HEAD",
      "hidden states of 36",
    ],
    [
      "with a bias of another size",
      "inform",
      { tensors: alter("score.0.bias", { shape: [36], byteLength: 144 }) },
      "ERR_TENSOR",
      "score.0.bias",
    ],
    [
      "with integers for weights",
      "inform",
      { tensors: alter("score.2.weight", { dtype: "I32" }) },
      "ERR_TENSOR",
      "I32",
    ],
    [
      "with weights that no head has",
      "inform",
      { tensors: alter("score.0.weight", { shape: [72, 2 ** 22], byteLength: 4 * 72 * 2 ** 22 }) },
      "ERR_HEAD",
      "score.0.weight",
    ],
    [
      "without a gating layer",
      "armorm",
      { tensors: without("gating.layers.1.weight") },
      "ERR_TENSOR",
      "gating.layers.1",
    ],
    ["without a gate", "armorm", { tensors: without("gating.layers.0.weight") }, "ERR_TENSOR", "gating.layers.0"],
    ["without its scale", "armorm", { tensors: without("gating.logit_scale") }, "ERR_TENSOR", "gating.logit_scale"],
    [
      "without its transform",
      "armorm",
      { tensors: without("reward_transform_matrix") },
      "ERR_TENSOR",
      "reward_transform",
    ],
    ["without rewards", "armorm", { tensors: without("regression_layer.weight") }, "ERR_TENSOR", "regression_layer"],
    [
      "with a transform of another size",
      "armorm",
      { tensors: alter("reward_transform_matrix", { shape: [18, 19], byteLength: 2 * 18 * 19 }) },
      "ERR_TENSOR",
      "reward_transform_matrix",
    ],
    [
      "with a gate for other rewards",
      "armorm",
      {
        tensors: (tensors) => {
          alter("gating.layers.3.weight", { shape: [18, 48], byteLength: 2 * 18 * 48 })(tensors);
          alter("gating.layers.3.bias", { shape: [18], byteLength: 2 * 18 })(tensors);
        },
      },
      "ERR_HEAD",
      "18 outputs, but 19",
    ],
    [
      "with fewer gating layers than its config says",
      "armorm",
      { config: { gating_n_hidden: 4 } },
      "ERR_TENSOR",
      "layers.4",
    ],
    ["with a temperature of 0", "armorm", { config: { gating_temperature: 0 } }, "ERR_HEAD", "temperature is 0"],
    [
      "with something that no line names",
      "armorm",
      { tensors: rename("model.norm.weight", "gating.layers.9.weight") },
      "ERR_TENSOR",
      "norm",
    ],
  ];
  it.each(cases)("%s", (_, name, changes, code, part) => refused(plan(name, changes), code, part));

  it("with a vocabulary that lacks the tokens of its gating position", async () => {
    const { head } = await plan("armorm");
    expect(() => validateHead(head, { vocabularySize: 128_009 })).toThrow(
      expect.objectContaining({ code: "ERR_HEAD" }),
    );
    await refused(
      plan("armorm", {
        config: { vocab_size: 100_000 },
        tensors: alter("model.embed_tokens.weight", { shape: [100_000, 32], byteLength: 100_000 * 64 }),
      }),
      "ERR_HEAD",
      "128009",
      "100000 tokens",
    );
  });

  it("with a NaN in a layer, by its place", async () => {
    const { directory } = await checkpoint("inform");
    const tensors = (await openCheckpoint(directory)).tensors;
    const weight = tensors.get("score.0.weight") as CheckpointTensor;
    const file = await open(join(directory, "model.safetensors"), "r+");
    const old = Buffer.alloc(4);
    await file.read(old, 0, 4, weight.offset + 4 * (72 * 5 + 3));
    await file.write(Buffer.of(0, 0, 0xc0, 0x7f), 0, 4, weight.offset + 4 * (72 * 5 + 3));
    try {
      await refused(plan("inform"), "ERR_HEAD", "layer 0's weight of neuron 5 is NaN at index 3");
    } finally {
      await file.write(old, 0, 4, weight.offset + 4 * (72 * 5 + 3));
      await file.close();
    }
  });
});
