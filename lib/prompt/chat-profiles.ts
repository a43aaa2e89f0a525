/** The families whose card renders a conversation by the checkpoint's own chat template, as data, each with its source. */
import { words } from "./names.ts";
import type { CheckpointTemplate, Profile } from "./types.ts";

function chat(bos: CheckpointTemplate["bos"], system: string | null = null): CheckpointTemplate {
  return { kind: "chat", bos, system, appendsReadToken: false };
}

/**
 * What the classifiers of transformers share. The texts that a card scores are not cut; where truncation is asked for,
 * the left end goes, as the end of the answer is what is read.
 */
const CLASSIFIER = {
  type: "reward",
  labels: null,
  read: "hf",
  maxLength: null,
  truncation: { side: "left", automatic: false },
  meaning: "higher is better",
  architectures: ["*ForSequenceClassification"],
  architectureIdentifies: "no",
} as const satisfies Partial<Profile>;

const SKYWORK: Profile = {
  ...CLASSIFIER,
  name: "skywork",
  template: chat("strip"),
  // V2 is the next profile's.
  repositories: [/(?:^|[^a-z0-9])skywork[^a-z0-9]reward(?![a-z0-9]|[^a-z0-9]v2(?![a-z0-9]))/i],
  source:
    "https://huggingface.co/Skywork/Skywork-Reward-Llama-3.1-8B-v0.2, Skywork-Reward-Gemma-2-27B-v0.2 (and v0.1): " +
    "their chat templates leave BOS to the tokenizer; https://github.com/SkyworkAI/Skywork-Reward",
};

const SKYWORK_V2: Profile = {
  ...CLASSIFIER,
  name: "skywork-v2",
  // Trained on texts of up to 16,384 tokens, and recommended for no longer ones.
  maxLength: 16_384,
  template: chat("strip"),
  repositories: [words("skywork", "reward", "v2")],
  source:
    "https://huggingface.co/Skywork/Skywork-Reward-V2-Llama-3.1-8B (and its Llama-3.2 and Qwen3 siblings): the card " +
    "cuts a BOS off the rendered text before tokenizing; https://github.com/SkyworkAI/Skywork-Reward-V2",
};

const FSFAIRX: Profile = {
  ...CLASSIFIER,
  name: "fsfairx",
  template: chat("remove"),
  repositories: [words("fsfairx"), words("offsetbias", "rm")],
  source:
    "https://huggingface.co/sfairXC/FsfairX-LLaMA3-RM-v0.1, https://huggingface.co/NCSOFT/Llama-3-OffsetBias-RM-8B: " +
    '`.replace(tokenizer.bos_token, "")` on the rendered text; bradley-terry-rm/llama3_rm.py and ' +
    "useful_code/eval_reward_bench_bt.py of https://github.com/RLHFlow/RLHF-Reward-Modeling",
};

const RM_MISTRAL: Profile = {
  ...CLASSIFIER,
  name: "rm-mistral",
  template: chat("remove"),
  repositories: [words("rm", "mistral")],
  source:
    "https://huggingface.co/weqweasdas/RM-Mistral-7B; bradley-terry-rm/mistral_7B_rm.py and README.md of " +
    "https://github.com/RLHFlow/RLHF-Reward-Modeling",
};

/**
 * The cards have no code. RewardBench, which their scores are from, lets the tokenizer add BOS and masks a second one;
 * open-instruct trained them on `apply_chat_template`'s ids, which have the template's own BOS only.
 */
const TULU: Profile = {
  ...CLASSIFIER,
  name: "tulu",
  template: chat("once"),
  repositories: [words("tulu", "rm"), words("rm", "rb2")],
  source:
    "https://huggingface.co/allenai/Llama-3.1-Tulu-3-8B-RM, Llama-3.1-8B-Instruct-RM-RB2 (and the other RewardBench 2 " +
    "models); rewardbench/models/pipeline.py of https://github.com/allenai/reward-bench",
};

const INTERNLM2: Profile = {
  ...CLASSIFIER,
  name: "internlm2",
  // `reward_token_id` of the configs, which goes before this.
  read: "token:92527",
  template: { ...chat("once"), appendsReadToken: true },
  repositories: [words("internlm2?", "reward")],
  architectures: ["InternLM2ForRewardModel"],
  architectureIdentifies: "likely",
  // Its config has the same keys: https://github.com/InternLM/POLAR.
  others: [
    {
      name: words("polar"),
      how: "POLAR scores an answer beside a reference, so only exact texts and token ids that hold both are scored right",
    },
  ],
  source:
    "https://huggingface.co/internlm/internlm2-7b-reward (and -1_8b-, -20b-): get_score of modeling_internlm2.py, " +
    "which encodes the rendered text without special tokens and appends the reward token",
};

const GRM: Profile = {
  ...CLASSIFIER,
  name: "grm",
  // The last token that the attention mask keeps.
  read: "last-token",
  // One BOS, as everywhere: the card's own code and the training have a second one before that of the template.
  template: chat("once"),
  // The ones called rewardmodel are classifiers of transformers.
  repositories: [/(?:^|[^a-z0-9])grm(?![a-z0-9])(?!.*rewardmodel)/i],
  architectures: ["GRewardModel"],
  architectureIdentifies: "likely",
  source:
    "https://huggingface.co/Ray2333/GRM-llama3-8B-sftreg (and its siblings): GRewardModel and ValueHead of its code; " +
    "rewardbench/models/grm.py of https://github.com/allenai/reward-bench",
};

const INF_ORM: Profile = {
  ...CLASSIFIER,
  name: "inf-orm",
  read: "before-first-pad",
  template: chat("once"),
  repositories: [words("inf", "orm")],
  architectures: ["INFORMForSequenceClassification"],
  architectureIdentifies: "surely",
  source:
    "https://huggingface.co/infly/INF-ORM-Llama3.1-70B: INFORMForSequenceClassification of its card, which scores the ids " +
    "of apply_chat_template; rewardbench/models/inform.py of https://github.com/allenai/reward-bench",
};

const ARMORM: Profile = {
  ...CLASSIFIER,
  name: "armorm",
  read: "before-first-pad",
  template: chat("once"),
  meaning: "the score: higher is better; its rewards each on a scale of their own",
  repositories: [words("armorm")],
  architectures: ["LlamaForRewardModelWithGating"],
  architectureIdentifies: "surely",
  source:
    "https://huggingface.co/RLHFlow/ArmoRM-Llama3-8B-v0.1: modeling_custom.py, and the card, which scores the ids of " +
    "apply_chat_template; arXiv:2406.12845",
};

/** The class of two families, whose cards score the rendered text's ids and differ in the system turn. */
const QWEN2_REWARD = {
  ...CLASSIFIER,
  // Their configs name no pad token, without which the class reads the last one.
  read: "last-token",
  architectures: ["Qwen2ForRewardModel"],
} as const satisfies Partial<Profile>;

const WORLDPM: Profile = {
  ...QWEN2_REWARD,
  name: "worldpm",
  template: chat("once", ""),
  repositories: [words("worldpm")],
  architectureIdentifies: "likely",
  source:
    "https://huggingface.co/Qwen/WorldPM-72B (and its fine-tuned versions); README.md of https://github.com/QwenLM/WorldPM: " +
    "get_score, an empty system prompt as in training, the hidden state of the <|endoftext|> that the text ends with",
};

const QWEN_MATH_RM: Profile = {
  ...QWEN2_REWARD,
  name: "qwen-math-rm",
  template: chat("once", "Please reason step by step, and put your final answer within \\boxed{}."),
  repositories: [words("qwen2", "5", "math", "rm")],
  source:
    "https://huggingface.co/Qwen/Qwen2.5-Math-RM-72B; README.md of https://github.com/QwenLM/Qwen2.5-Math, whose " +
    "solutions are reasoned in words",
};

/** Any other classifier, as its own files describe it. */
export const CUSTOM: Profile = {
  ...CLASSIFIER,
  name: "custom",
  type: null,
  template: chat("once"),
  meaning: "as the model's card says",
  repositories: [],
  source: "GenericForSequenceClassification and apply_chat_template of https://github.com/huggingface/transformers",
};

export const CHAT_PROFILES: readonly Profile[] = [
  ...[SKYWORK, SKYWORK_V2, FSFAIRX, RM_MISTRAL, TULU, INTERNLM2],
  ...[GRM, INF_ORM, ARMORM, WORLDPM, QWEN_MATH_RM, CUSTOM],
];
