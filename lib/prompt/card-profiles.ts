/** The families whose card spells out how a conversation is written, as data, each with its source. */
import { words } from "./names.ts";
import type { CardTemplate, Message, Profile, TemplateTokens } from "./types.ts";

/**
 * safe-rlhf's `format_prompt`: each user turn opens with `USER: ` and closes with ` ASSISTANT:`; an answer that another
 * turn follows ends with EOS, the one to score does not.
 */
function renderBeaver(messages: readonly Message[], { eos }: TemplateTokens): string {
  const turns = messages.map(({ role, content }, i) => {
    if (role === "user") return `USER: ${content} ASSISTANT:`;
    return i < messages.length - 1 ? content + eos : content;
  });
  return `BEGINNING OF CONVERSATION: ${turns.join("")}`;
}

/** A template of one user turn and one assistant turn. */
function oneTurn(write: (question: string, answer: string) => string): CardTemplate {
  const render = (messages: readonly Message[]): string => {
    const [user, assistant] = messages as readonly [Message, Message];
    return write(user.content, assistant.content);
  };
  return { kind: "card", multiTurn: false, render };
}

/**
 * What the two beaver models share. Where truncation is asked for, the left end goes: the score is read at the end of
 * the answer, and a prompt above the limit would otherwise leave every answer with the same tokens.
 */
const BEAVER = {
  labels: null,
  read: "last-token",
  maxLength: null,
  truncation: { side: "left", automatic: false },
  template: { kind: "card", multiTurn: true, render: renderBeaver },
  architectures: ["*ForScore", "LlamaModelForScore"],
  architectureIdentifies: "surely",
  source:
    "https://huggingface.co/PKU-Alignment/beaver-7b-v1.0-cost (and -reward, v2.0, v3.0, unified); template: " +
    "format_prompt and PROMPT_* of https://github.com/PKU-Alignment/safe-rlhf",
} as const satisfies Partial<Profile>;

const BEAVER_REWARD: Profile = {
  ...BEAVER,
  name: "beaver-reward",
  type: "reward",
  meaning: "higher is more helpful",
  repositories: [words("beaver", "reward")],
};

const BEAVER_COST: Profile = {
  ...BEAVER,
  name: "beaver-cost",
  type: "cost",
  meaning: "above 0 is harmful, 0 and below is safe",
  repositories: [words("beaver", "cost")],
};

const STARLING: Profile = {
  name: "starling",
  type: "reward",
  labels: null,
  read: "card",
  maxLength: 2048,
  truncation: { side: "left", automatic: true },
  template: oneTurn((question, answer) => `[INST] ${question} [/INST] ${answer}`),
  meaning: "higher is more helpful and less harmful",
  // Starling-LM-7B is the policy, and Starling-RM-34B has another base model and template.
  repositories: [/^(?!.*[^a-z0-9](?:lm|34b)(?![a-z0-9]))(?:.*[^a-z0-9])?starling(?![a-z0-9])/i],
  // The second is the base model's: the repository itself has no config.
  architectures: ["GPTRewardModel", "LlamaForCausalLM"],
  architectureIdentifies: "no",
  // "Finetuned from model" on the card, whose class takes config and tokenizer from it.
  base: "meta-llama/Llama-2-7b-chat-hf",
  source: "https://huggingface.co/berkeley-nest/Starling-RM-7B-alpha (class GPTRewardModel and get_reward of its card)",
};

const DPA_INSTRUCTION =
  "You must read the following conversation carefully and rate the assistant's response from score 0-100 in these " +
  "aspects: helpfulness, correctness, coherence, honesty, complexity, verbosity";

const DPA: Profile = {
  name: "dpa",
  type: "attributes",
  labels: [
    "helpsteer-helpfulness",
    "helpsteer-correctness",
    "helpsteer-coherence",
    "helpsteer-complexity",
    "helpsteer-verbosity",
    "ultrafeedback-overall_score",
    "ultrafeedback-instruction_following",
    "ultrafeedback-truthfulness",
    "ultrafeedback-honesty",
    "ultrafeedback-helpfulness",
  ],
  read: "hf",
  maxLength: null,
  // Left for the same reason as beaver's; right would also cut the closing [/INST], where the score is read.
  truncation: { side: "left", automatic: false },
  template: oneTurn(
    (question, answer) => `[INST] ${DPA_INSTRUCTION}\n\nUser: ${question}\n\nAssistant: ${answer} [/INST]`,
  ),
  meaning: "ten ratings from 0 to 100; (x - 10) / 20 puts the helpsteer ones on HelpSteer's scale from 0 to 4",
  repositories: [words("dpa")],
  architectures: ["MistralForAttributePrediction"],
  architectureIdentifies: "surely",
  source: "https://huggingface.co/RLHFlow/RewardModel-Mistral-7B-for-DPA-v1; arXiv:2402.18571",
};

/** What the two reward models of OpenBMB share: their class reads the last token that is not padding by its mask. */
const OPENBMB = {
  type: "reward",
  labels: null,
  read: "last-token",
  maxLength: null,
  truncation: { side: "left", automatic: false },
  meaning: "higher is better",
} as const satisfies Partial<Profile>;

const ULTRARM: Profile = {
  ...OPENBMB,
  name: "ultrarm",
  // The card's `ultrarm_template`, and HH-RLHF's, which it is trained on; the card's two examples have one line break.
  template: oneTurn((question, answer) => `Human: ${question}\n\nAssistant: ${answer}`),
  repositories: [words("ultrarm")],
  architectures: ["LlamaRewardModel"],
  architectureIdentifies: "likely",
  source: "https://huggingface.co/openbmb/UltraRM-13b (ultrarm_template and class LlamaRewardModel of its card)",
};

const EURUS: Profile = {
  ...OPENBMB,
  name: "eurus",
  // The closing tag is the card's own, with a backslash.
  template: oneTurn((question, answer) => `[INST] ${question} [\\INST] ${answer}`),
  repositories: [words("eurus", "rm")],
  architectures: ["EurusRewardModel"],
  architectureIdentifies: "surely",
  source: "https://huggingface.co/openbmb/Eurus-RM-7b (its card's example; class EurusRewardModel)",
};

export const CARD_PROFILES: readonly Profile[] = [BEAVER_REWARD, BEAVER_COST, STARLING, DPA, ULTRARM, EURUS];
