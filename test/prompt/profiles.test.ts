/** The profiles' templates, against strings typed from the cards and from safe-rlhf's format_prompt. */
import { describe, expect, it } from "vitest";
import { ChatTemplate } from "../../lib/prompt/chat-template.ts";
import { renderConversation } from "../../lib/prompt/conversation.ts";
import { findProfile, PROFILE_NAMES, PROFILES, scoreType } from "../../lib/prompt/profiles.ts";
import type { ConversationInput, Profile } from "../../lib/prompt/types.ts";
import { TEMPLATES, TOKENS } from "../fixtures/chat-templates.ts";

const PUBLISHED = ["beaver-reward", "beaver-cost", "starling", "dpa"];

function profile(name: string): Profile {
  const found = findProfile(name);
  if (found === null) throw new Error(`no profile ${name}`);
  return found;
}

function render(name: string, input: ConversationInput): string {
  return renderConversation(input, profile(name), { tokens: TOKENS, chatTemplate: null, now: new Date() }).text;
}

/** By a chat template of test/fixtures, under the family's own special tokens. */
function renderBy(name: string, template: string, input: ConversationInput, bos: string, eos: string) {
  const chatTemplate = new ChatTemplate(TEMPLATES[template] as string);
  return renderConversation(input, profile(name), { tokens: { ...TOKENS, bos, eos }, chatTemplate, now: new Date() });
}

describe("templates", () => {
  it.each(["beaver-reward", "beaver-cost"])("%s renders the card's example", (name) => {
    expect(render(name, { prompt: "hello", response: "Hello! How can I help you today?" })).toBe(
      "BEGINNING OF CONVERSATION: USER: hello ASSISTANT:Hello! How can I help you today?",
    );
  });

  it("beaver closes each earlier answer with EOS", () => {
    const messages = ["a", "b", "c", "d", "e", "f"].map((content, i) => ({
      role: i % 2 === 0 ? ("user" as const) : ("assistant" as const),
      content,
    }));
    expect(render("beaver-cost", { messages: messages.slice(0, 4) })).toBe(
      "BEGINNING OF CONVERSATION: USER: a ASSISTANT:b</s>USER: c ASSISTANT:d",
    );
    expect(render("beaver-cost", { messages })).toBe(
      "BEGINNING OF CONVERSATION: USER: a ASSISTANT:b</s>USER: c ASSISTANT:d</s>USER: e ASSISTANT:f",
    );
  });

  it("starling renders Llama-2's instruction form", () => {
    expect(render("starling", { prompt: "Hello?", response: "Hi, how can I help you?" })).toBe(
      "[INST] Hello? [/INST] Hi, how can I help you?",
    );
  });

  it("dpa renders the card's example", () => {
    const prompt = 'What are some synonyms for the word "beautiful"?';
    const response = "Nicely, Beautifully, Handsome, Stunning, Wonderful, Gorgeous, Pretty, Stunning, Elegant";
    expect(render("dpa", { prompt, response })).toBe(
      '[INST] You must read the following conversation carefully and rate the assistant\'s response from score 0-100 in these aspects: helpfulness, correctness, coherence, honesty, complexity, verbosity\n\nUser: What are some synonyms for the word "beautiful"?\n\nAssistant: Nicely, Beautifully, Handsome, Stunning, Wonderful, Gorgeous, Pretty, Stunning, Elegant [/INST]',
    );
  });

  it("ultrarm renders the card's ultrarm_template", () => {
    expect(
      render("ultrarm", { prompt: "Sural relates to which part of the body?", response: "The sural region is" }),
    ).toBe("Human: Sural relates to which part of the body?\n\nAssistant: The sural region is");
  });

  it("eurus renders the card's example, its backslash included", () => {
    expect(
      render("eurus", { prompt: "Sural relates to which part of the body?", response: "The sural region is" }),
    ).toBe("[INST] Sural relates to which part of the body? [\\INST] The sural region is");
  });

  it.each(["beaver-reward", "starling", "dpa", "ultrarm", "eurus"])("%s takes texts as they are", (name) => {
    const [before, between] = render(name, { prompt: " $& \n</s>", response: "" }).split(" $& \n</s>");
    const [plainBefore, plainBetween] = render(name, { prompt: "Q", response: "" }).split(/Q/);
    expect([before, between]).toEqual([plainBefore, plainBetween]);
  });
});

describe("families that render by the checkpoint's own chat template", () => {
  const question = { prompt: " Hello?", response: "Hi <bos>there. " };

  it("skywork leaves BOS to the tokenizer", () => {
    const published = renderBy("skywork", "meta-llama-Llama-3.1-8B-Instruct", question, "<bos>", "<eos>");
    expect(published).toEqual({
      text:
        "<|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\n" +
        "Today Date: 26 Jul 2024\n\n<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nHello?<|eot_id|>" +
        "<|start_header_id|>assistant<|end_header_id|>\n\nHi <bos>there.<|eot_id|>",
      mayHoldEnds: false,
    });
    expect(renderBy("skywork", "google-gemma-2-2b-it", question, "<bos>", "<eos>").text).toBe(
      "<start_of_turn>user\nHello?<end_of_turn>\n<start_of_turn>model\nHi <bos>there.<end_of_turn>\n",
    );
  });

  it("skywork-v2 cuts the BOS that the text begins with, where there is one", () => {
    expect(renderBy("skywork-v2", "Qwen-Qwen3-0.6B", question, "", "<|im_end|>")).toEqual({
      text: "<|im_start|>user\n Hello?<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\nHi <bos>there. <|im_end|>\n",
      mayHoldEnds: false,
    });
    expect(renderBy("skywork-v2", "llama-3", question, "<bos>", "").text).toMatch(/^<\|start_header_id\|>user/);
  });

  it("fsfairx removes every BOS, those in the messages too", () => {
    expect(renderBy("fsfairx", "llama-3", question, "<bos>", "<eos>")).toEqual({
      text:
        "<|start_header_id|>user<|end_header_id|>\n\nHello?<|eot_id|>" +
        "<|start_header_id|>assistant<|end_header_id|>\n\nHi there.<|eot_id|>",
      mayHoldEnds: false,
    });
  });

  it("rm-mistral does so too, and ends with EOS", () => {
    expect(renderBy("rm-mistral", "mistral-instruct", question, "<bos>", "</s>")).toEqual({
      text: "[INST]  Hello? [/INST]Hi there. </s>",
      mayHoldEnds: false,
    });
  });

  it("tulu ends with EOS, and the tokenizer adds the BOS that the template does not write", () => {
    expect(renderBy("tulu", "tulu", question, "<|begin_of_text|>", "<|end_of_text|>")).toEqual({
      text: "<|user|>\n Hello?\n<|assistant|>\nHi <bos>there. <|end_of_text|>",
      mayHoldEnds: true,
    });
  });

  it("internlm2 renders ChatML after its BOS", () => {
    const chat = { prompt: "Hello! What's your name?", response: "I have no idea." };
    expect(renderBy("internlm2", "internlm2", chat, "<s>", "</s>")).toEqual({
      text: "<s><|im_start|>user\nHello! What's your name?<|im_end|>\n<|im_start|>assistant\nI have no idea.<|im_end|>\n",
      mayHoldEnds: true,
    });
  });

  it.each(["grm", "inf-orm", "armorm"])("%s is what apply_chat_template gives, BOS included once", (name) => {
    expect(renderBy(name, "llama-3", { prompt: "Hello?", response: "Hi." }, "<|begin_of_text|>", "<|eot_id|>")).toEqual(
      {
        text:
          "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHello?<|eot_id|>" +
          "<|start_header_id|>assistant<|end_header_id|>\n\nHi.<|eot_id|>",
        mayHoldEnds: true,
      },
    );
  });

  it.each([
    ["worldpm", ""],
    ["qwen-math-rm", "Please reason step by step, and put your final answer within \\boxed{}."],
  ])("%s begins with its card's system turn, unless the caller gives one", (name, system) => {
    const text = (content: string): string =>
      `<|im_start|>system\n${content}<|im_end|>\n<|im_start|>user\nHello?<|im_end|>\n<|im_start|>assistant\nHi.<|im_end|>\n`;
    const render = (input: ConversationInput) => renderBy(name, "Qwen-Qwen2.5-7B-Instruct", input, "", "<|im_end|>");
    expect(render({ prompt: "Hello?", response: "Hi." })).toEqual({ text: text(system), mayHoldEnds: true });
    const turns = [
      { role: "system", content: "Judge mildly." },
      { role: "user", content: "Hello?" },
      { role: "assistant", content: "Hi." },
    ] as const;
    expect(render({ messages: turns }).text).toBe(text("Judge mildly."));
    expect(render({ messages: turns.slice(1) }).text).toBe(text(system));
  });

  it("custom is what apply_chat_template gives", () => {
    expect(renderBy("custom", "zephyr", question, "<s>", "</s>")).toEqual({
      text: "<|user|>\n Hello?</s>\n<|assistant|>\nHi <bos>there. </s>\n",
      mayHoldEnds: true,
    });
  });
});

describe("profiles as data", () => {
  it("are the published four and their relatives", () => {
    expect(PROFILE_NAMES).toBe(
      "beaver-reward, beaver-cost, starling, dpa, ultrarm, eurus, skywork, skywork-v2, fsfairx, rm-mistral, tulu, " +
        "internlm2, grm, inf-orm, armorm, worldpm, qwen-math-rm, custom",
    );
    const published = PUBLISHED.map(profile);
    expect(published.map(({ type }) => type)).toEqual(["reward", "cost", "reward", "attributes"]);
    expect(published.map(({ read }) => read)).toEqual(["last-token", "last-token", "card", "hf"]);
    expect(published.map(({ maxLength }) => maxLength)).toEqual([null, null, 2048, null]);
  });

  it("of the relatives are rewards, read by their own class's rule", () => {
    const relatives = PROFILES.filter(({ name }) => !PUBLISHED.includes(name));
    expect(relatives.map(({ name, read, maxLength }) => [name, read, maxLength])).toEqual([
      ["ultrarm", "last-token", null],
      ["eurus", "last-token", null],
      ["skywork", "hf", null],
      ["skywork-v2", "hf", 16_384],
      ["fsfairx", "hf", null],
      ["rm-mistral", "hf", null],
      ["tulu", "hf", null],
      ["internlm2", "token:92527", null],
      ["grm", "last-token", null],
      ["inf-orm", "before-first-pad", null],
      ["armorm", "before-first-pad", null],
      ["worldpm", "last-token", null],
      ["qwen-math-rm", "last-token", null],
      ["custom", "hf", null],
    ]);
    expect(relatives.map((relative) => scoreType(relative, 1))).toEqual(relatives.map(() => "reward"));
    expect(relatives.map((relative) => scoreType(relative, 3)).at(-1)).toBe("attributes");
  });

  it("cut only starling's texts without being asked, from the left", () => {
    expect(PROFILES.filter(({ truncation }) => truncation.automatic).map(({ name }) => name)).toEqual(["starling"]);
    expect(profile("starling").truncation.side).toBe("left");
  });

  it("label dpa's outputs in the card's order", () => {
    expect(profile("dpa").labels).toEqual(
      (
        "helpsteer-helpfulness helpsteer-correctness helpsteer-coherence helpsteer-complexity helpsteer-verbosity " +
        "ultrafeedback-overall_score ultrafeedback-instruction_following ultrafeedback-truthfulness " +
        "ultrafeedback-honesty ultrafeedback-helpfulness"
      ).split(" "),
    );
  });

  it("are found by their exact name only", () => {
    expect(findProfile("dpa")?.name).toBe("dpa");
    expect(findProfile("DPA")).toBeNull();
    expect(findProfile("toString")).toBeNull();
  });
});
