/** Which profile a checkpoint gets, by what is known about it. */
import { describe, expect, it } from "vitest";
import { type ErrorCode, isScoreheadError } from "../../lib/errors.ts";
import { chooseProfile } from "../../lib/prompt/choose.ts";

const ALL = "beaver-reward, beaver-cost, starling, dpa, ";

/** An error of `code` whose message has all of `parts`. */
function refusal(code: string, ...parts: readonly string[]): unknown {
  const hasAll = (error: unknown) =>
    isScoreheadError(error, code as ErrorCode) && parts.every((part) => error.message.includes(part));
  return expect.toSatisfy(hasAll, `is ${code} with ${parts.join(", ")}`);
}

describe("by repository or directory name", () => {
  it.each([
    ["PKU-Alignment/beaver-7b-v1.0-cost", "beaver-cost"],
    ["PKU-Alignment/beaver-7b-v1.0-reward", "beaver-reward"],
    ["PKU-Alignment/beaver-7b-v2.0-cost", "beaver-cost"],
    ["PKU-Alignment/beaver-7b-v3.0-reward", "beaver-reward"],
    ["PKU-Alignment/beaver-7b-unified-cost", "beaver-cost"],
    ["PKU-Alignment/beaver-7b-unified-reward", "beaver-reward"],
    ["./checkpoints/beaver-cost/", "beaver-cost"],
    ["C:\\models\\Beaver-7B-v1.0-COST", "beaver-cost"],
    ["beaver_7b_cost_copy", "beaver-cost"],
    ["models--PKU-Alignment--beaver-7b-v1.0-cost", "beaver-cost"],
    ["/cache/models--PKU-Alignment--beaver-7b-v1.0-cost/snapshots/0a1b2c", "beaver-cost"],
    ["berkeley-nest/Starling-RM-7B-alpha", "starling"],
    ["starling", "starling"],
    ["starling-rm", "starling"],
    ["models--berkeley-nest--Starling-RM-7B-alpha", "starling"],
    ["RLHFlow/RewardModel-Mistral-7B-for-DPA-v1", "dpa"],
    ["dpa", "dpa"],
    ["my_dpa.v2", "dpa"],
    ["Skywork/Skywork-Reward-Llama-3.1-8B", "skywork"],
    ["Skywork/Skywork-Reward-Llama-3.1-8B-v0.2", "skywork"],
    ["Skywork/Skywork-Reward-Gemma-2-27B-v0.2", "skywork"],
    ["Skywork/Skywork-Reward-V2-Llama-3.1-8B-40M", "skywork-v2"],
    ["Skywork/Skywork-Reward-V2-Qwen3-0.6B", "skywork-v2"],
    ["sfairXC/FsfairX-LLaMA3-RM-v0.1", "fsfairx"],
    ["NCSOFT/Llama-3-OffsetBias-RM-8B", "fsfairx"],
    ["weqweasdas/RM-Mistral-7B", "rm-mistral"],
    ["allenai/Llama-3.1-Tulu-3-8B-RM", "tulu"],
    ["allenai/Llama-3.1-Tulu-3-70B-SFT-RM-RB2", "tulu"],
    ["allenai/Llama-3.1-8B-Instruct-RM-RB2", "tulu"],
    ["allenai/Llama-3.1-8B-Base-RM-RB2", "tulu"],
    ["openbmb/UltraRM-13b", "ultrarm"],
    ["openbmb/Eurus-RM-7b", "eurus"],
    ["internlm/internlm2-1_8b-reward", "internlm2"],
    ["internlm/internlm2-20b-reward", "internlm2"],
    ["Ray2333/GRM-llama3-8B-sftreg", "grm"],
    ["Ray2333/GRM-gemma2-2B-sftreg", "grm"],
    ["infly/INF-ORM-Llama3.1-70B", "inf-orm"],
    ["RLHFlow/ArmoRM-Llama3-8B-v0.1", "armorm"],
    ["Qwen/WorldPM-72B", "worldpm"],
    ["Qwen/WorldPM-72B-HelpSteer2", "worldpm"],
    ["Qwen/Qwen2.5-Math-RM-72B", "qwen-math-rm"],
  ])("%s is %s", (repository, name) => {
    const choice = chooseProfile({ repository });
    expect(choice.profile.name).toBe(name);
    expect(choice.warnings).toEqual([]);
  });

  it.each([
    "sandpaper",
    "Ray2333/GRM-Llama3-8B-rewardmodel-ft",
    "dpa2",
    "beavers-cost",
    "beaver-7b-v1.0",
    "beaver-7b-costs",
    "beaver-reward-vs-cost",
    "berkeley-nest/Starling-LM-7B-alpha",
    "berkeley-nest/Starling-RM-34B",
    "starlings",
    "Skywork/Skywork-Critic-Llama-3.1-8B",
    "openbmb/Eurus-7b-kto",
    "internlm/internlm2-chat-7b",
    "allenai/Llama-3.1-Tulu-3-8B",
    "Qwen/Qwen2.5-Math-PRM-7B",
    "Qwen/Qwen2-Math-RM-72B",
    "internlm/POLAR-7B",
    "/home/dpa/starling/model",
    "",
  ])("%j is none of them", (repository) => {
    expect(() => chooseProfile({ repository })).toThrow(refusal("ERR_UNSUPPORTED", ALL, "--profile"));
  });

  it("does not follow beaver v1.0-cost's score_type, which says reward", () => {
    const choice = chooseProfile({
      repository: "PKU-Alignment/beaver-7b-v1.0-cost",
      architecture: "LlamaForScore",
      scoreType: "reward",
    });
    expect(choice.profile.name).toBe("beaver-cost");
    expect(choice.warnings).toEqual([]);
  });

  it("warns where a reward model's score_type says cost", () => {
    const choice = chooseProfile({ repository: "beaver-reward", architecture: "LlamaForScore", scoreType: "cost" });
    expect(choice.profile.name).toBe("beaver-reward");
    expect(choice.warnings).toEqual([expect.stringContaining('score_type "cost"')]);
  });

  it("takes Starling with the base model's config", () => {
    const choice = chooseProfile({ repository: "starling", architecture: "LlamaForCausalLM" });
    expect(choice.profile.name).toBe("starling");
    expect(choice.warnings).toEqual([]);
  });
});

describe("by architecture", () => {
  it("MistralForAttributePrediction is dpa", () => {
    const choice = chooseProfile({ repository: "my-model", architecture: "MistralForAttributePrediction" });
    expect(choice.profile.name).toBe("dpa");
    expect(choice.warnings).toEqual([]);
  });

  it.each([
    ["LlamaForScore", "cost", "beaver-cost"],
    ["LlamaForScore", "reward", "beaver-reward"],
    ["LlamaModelForScore", "cost", "beaver-cost"],
  ])("%s with score_type %s is %s, with a warning", (architecture, scoreType, name) => {
    const choice = chooseProfile({ repository: "beaver-normalized", architecture, scoreType });
    expect(choice.profile.name).toBe(name);
    expect(choice.warnings).toEqual([expect.stringContaining(`"${scoreType}"`)]);
  });

  it.each([
    [undefined, "is missing"],
    ["harm", 'is "harm"'],
    [null, "is null"],
  ])("LlamaForScore with score_type %j is an error with the remedy", (scoreType, found) => {
    expect(() => chooseProfile({ architecture: "LlamaForScore", scoreType })).toThrow(
      refusal("ERR_CONFIG", found, "--profile"),
    );
  });

  it.each([
    ["EurusRewardModel", "eurus", 0],
    ["LlamaRewardModel", "ultrarm", 1],
    ["InternLM2ForRewardModel", "internlm2", 1],
    ["Qwen2ForRewardModel", "worldpm", 1],
    ["LlamaForSequenceClassification", "custom", 1],
    ["Qwen3ForSequenceClassification", "custom", 1],
  ])("%s is %s, with %i warnings", (architecture, name, warnings) => {
    const choice = chooseProfile({ repository: "my-model", architecture });
    expect(choice.profile.name).toBe(name);
    expect(choice.warnings).toHaveLength(warnings);
    for (const warning of choice.warnings) expect(warning).toContain("--profile");
  });

  it.each(["Qwen2ForScore", "MistralForScore"])("%s is safe-rlhf's on another backbone", (architecture) => {
    expect(chooseProfile({ architecture, scoreType: "cost" }).profile.name).toBe("beaver-cost");
  });

  it.each(["GPTRewardModel", "LlamaForCausalLM", "BertModel", undefined])("%s names no family", (architecture) => {
    expect(() => chooseProfile({ repository: "my-model", architecture })).toThrow(
      refusal("ERR_UNSUPPORTED", "my-model", ALL),
    );
  });
});

it.each(["internlm/POLAR-7B", "internlm/POLAR-1_8B-Base", "polar"])(
  "%s, which scores beside a reference, is not internlm2 by its architecture",
  (repository) => {
    const evidence = { repository, architecture: "InternLM2ForRewardModel" };
    expect(() => chooseProfile(evidence)).toThrow(refusal("ERR_UNSUPPORTED", repository, "reference", "--profile"));
    const { profile, warnings } = chooseProfile({ ...evidence, profileName: "internlm2" });
    expect(profile.name).toBe("internlm2");
    expect(warnings).toEqual([expect.stringContaining("exact texts and token ids")]);
  },
);

describe("a name against the architecture", () => {
  it("loses to an architecture that belongs to one family, with a warning", () => {
    const dpa = chooseProfile({ repository: "beaver-cost", architecture: "MistralForAttributePrediction" });
    expect(dpa.profile.name).toBe("dpa");
    expect(dpa.warnings).toEqual([expect.stringContaining("says beaver-cost, but its architecture is Mistral")]);

    const beaver = chooseProfile({ repository: "starling", architecture: "LlamaForScore", scoreType: "cost" });
    expect(beaver.profile.name).toBe("beaver-cost");
    expect(beaver.warnings).toHaveLength(2);
  });

  it("is refused where the architecture belongs to none", () => {
    const architecture = "LlamaForSequenceClassification";
    expect(() => chooseProfile({ repository: "beaver-cost", architecture })).toThrow(
      refusal("ERR_UNSUPPORTED", architecture, "beaver-cost", "--profile"),
    );
  });
});

describe("by the user's word", () => {
  it("goes before name and architecture", () => {
    const choice = chooseProfile({ profileName: "starling", repository: "dpa", architecture: "GPTRewardModel" });
    expect(choice.profile.name).toBe("starling");
    expect(choice.warnings).toEqual([]);
  });

  it("warns where the architecture is another", () => {
    const choice = chooseProfile({ profileName: "beaver-reward", architecture: "Qwen2ForSequenceClassification" });
    expect(choice.profile.name).toBe("beaver-reward");
    expect(choice.warnings).toEqual([expect.stringContaining("Qwen2ForSequenceClassification")]);
  });

  it("is refused where it names nothing", () => {
    expect(() => chooseProfile({ profileName: "beaver" })).toThrow(refusal("ERR_ARGUMENT", '"beaver"', ALL));
  });
});
