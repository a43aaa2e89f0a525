/** The profiles' templates, against strings typed from the cards and from safe-rlhf's format_prompt. */
import { describe, expect, it } from "vitest";
import { renderConversation } from "../../lib/prompt/conversation.ts";
import { findProfile, PROFILE_NAMES, PROFILES } from "../../lib/prompt/profiles.ts";
import type { ConversationInput, Profile } from "../../lib/prompt/types.ts";

const TOKENS = { bos: "<s>", eos: "</s>" };

function profile(name: string): Profile {
  const found = findProfile(name);
  if (found === null) throw new Error(`no profile ${name}`);
  return found;
}

function render(name: string, input: ConversationInput): string {
  return renderConversation(input, profile(name), TOKENS);
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

  it.each(["beaver-reward", "starling", "dpa"])("%s takes texts as they are", (name) => {
    const [before, between] = render(name, { prompt: " $& \n</s>", response: "" }).split(" $& \n</s>");
    const [plainBefore, plainBetween] = render(name, { prompt: "Q", response: "" }).split(/Q/);
    expect([before, between]).toEqual([plainBefore, plainBetween]);
  });
});

describe("profiles as data", () => {
  it("are the four of the design", () => {
    expect(PROFILE_NAMES).toBe("beaver-reward, beaver-cost, starling, dpa");
    expect(PROFILES.map(({ type }) => type)).toEqual(["reward", "cost", "reward", "attributes"]);
    expect(PROFILES.map(({ read }) => read)).toEqual(["last-token", "last-token", "card", "hf"]);
    expect(PROFILES.map(({ maxLength }) => maxLength)).toEqual([null, null, 2048, null]);
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
