/** The model families whose published templates and rules are known, as data, each with its source. */
import type { Message, Profile, TemplateTokens } from "./types.ts";

/**
 * A regular expression that finds whole words, in this order, in a repository or directory name: a word ends where
 * letters and digits end, so that `dpa` is not found in "sandpaper".
 */
function words(...wanted: readonly string[]): RegExp {
  const edge = "(?:^|[^a-z0-9])";
  return new RegExp(`${wanted.map((word) => `${edge}${word}(?![a-z0-9])`).join(".*?")}`, "i");
}

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

/** The contents of the one user turn and the one assistant turn of a conversation checked for a one-turn template. */
function oneTurn(messages: readonly Message[]): readonly [question: string, answer: string] {
  const [user, assistant] = messages as readonly [Message, Message];
  return [user.content, assistant.content];
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
  render: renderBeaver,
  multiTurn: true,
  architectures: ["LlamaForScore", "LlamaModelForScore"],
  architectureIdentifies: true,
  base: null,
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
  render: (messages) => {
    const [question, answer] = oneTurn(messages);
    return `[INST] ${question} [/INST] ${answer}`;
  },
  multiTurn: false,
  meaning: "higher is more helpful and less harmful",
  // Starling-LM-7B is the policy, and Starling-RM-34B has another base model and template.
  repositories: [/^(?!.*[^a-z0-9](?:lm|34b)(?![a-z0-9]))(?:.*[^a-z0-9])?starling(?![a-z0-9])/i],
  // The second is the base model's: the repository itself has no config.
  architectures: ["GPTRewardModel", "LlamaForCausalLM"],
  architectureIdentifies: false,
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
  render: (messages) => {
    const [question, answer] = oneTurn(messages);
    return `[INST] ${DPA_INSTRUCTION}\n\nUser: ${question}\n\nAssistant: ${answer} [/INST]`;
  },
  multiTurn: false,
  meaning: "ten ratings from 0 to 100; (x - 10) / 20 puts the helpsteer ones on HelpSteer's scale from 0 to 4",
  repositories: [words("dpa")],
  architectures: ["MistralForAttributePrediction"],
  architectureIdentifies: true,
  base: null,
  source: "https://huggingface.co/RLHFlow/RewardModel-Mistral-7B-for-DPA-v1; arXiv:2402.18571",
};

/** Every profile, in the order in which messages list them. */
export const PROFILES: readonly Profile[] = [BEAVER_REWARD, BEAVER_COST, STARLING, DPA];

/** The names of {@link PROFILES} as a list for messages. */
export const PROFILE_NAMES: string = PROFILES.map(({ name }) => name).join(", ");

/** The profile called `name` exactly, or null. */
export function findProfile(name: string): Profile | null {
  return PROFILES.find((profile) => profile.name === name) ?? null;
}
