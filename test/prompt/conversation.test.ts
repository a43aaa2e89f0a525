/** What a conversation may look like, and how each wrong one is refused. */
import { describe, expect, it } from "vitest";
import { ChatTemplate } from "../../lib/prompt/chat-template.ts";
import { renderConversation } from "../../lib/prompt/conversation.ts";
import { findProfile } from "../../lib/prompt/profiles.ts";
import type { ConversationInput, Profile } from "../../lib/prompt/types.ts";
import { TOKENS } from "../fixtures/chat-templates.ts";

function render(input: unknown, name = "beaver-cost", chatTemplate: string | null = null): string {
  const profile = findProfile(name) as Profile;
  return renderConversation(input as ConversationInput, profile, {
    tokens: TOKENS,
    chatTemplate: chatTemplate === null ? null : new ChatTemplate(chatTemplate),
    now: new Date(),
  }).text;
}

function refusal(code: string, ...texts: readonly string[]): unknown {
  return expect.objectContaining({ code, message: expect.stringContaining(texts.join("")) });
}

const user = { role: "user", content: "q" };
const assistant = { role: "assistant", content: "a" };
const system = { role: "system", content: "s" };

describe("wrong types and keys", () => {
  it.each([
    [null, "must be an object, not null"],
    ["text", "must be an object, not string"],
    [[user, assistant], "must be an object, not an array"],
    [{}, '"prompt" must be a string, not undefined'],
    [{ prompt: "q" }, '"response" must be a string, not undefined'],
    [{ prompt: "q", response: 1 }, '"response" must be a string, not number'],
    [{ prompt: "q", respones: "a" }, 'Unknown key "respones"'],
    [{ prompt: "q", response: "a", system: "s" }, 'Unknown key "system"'],
    [{ messages: "q" }, '"messages" must be an array, not string'],
    [{ messages: [user, assistant], prompt: "q" }, 'Unknown key "prompt"'],
    [{ messages: [user, "a"] }, "messages[1] must be an object, not string"],
    [{ messages: [user, null] }, "messages[1] must be an object, not null"],
    // biome-ignore lint/suspicious/noSparseArray: a hole is what is tested
    [{ messages: [, assistant] }, "messages[0] must be an object, not undefined"],
    [{ messages: [user, { ...assistant, name: "x" }] }, 'Unknown key "name" in messages[1]'],
    [{ messages: [user, { role: "assistant" }] }, "messages[1].content must be a string, not undefined"],
    [
      { messages: [{ role: "human", content: "q" }, assistant] },
      'messages[0].role must be "system", "user" or "assistant", not "human"',
    ],
  ])("%j is an argument error", (input, message) => {
    expect(() => render(input)).toThrow(refusal("ERR_ARGUMENT", message));
  });
});

describe("texts that are not Unicode", () => {
  it("are refused with their place", () => {
    expect(() => render({ prompt: "ab\ud800", response: "a" })).toThrow(
      refusal("ERR_TEXT", '"prompt" has a lone surrogate at index 2'),
    );
    expect(() => render({ messages: [user, { role: "assistant", content: "\udc00" }] })).toThrow(
      refusal("ERR_TEXT", "messages[1].content has a lone surrogate at index 0"),
    );
  });

  it("are not those beyond the BMP", () => {
    expect(render({ prompt: "😀", response: "𝒜" })).toBe("BEGINNING OF CONVERSATION: USER: 😀 ASSISTANT:𝒜");
  });
});

describe("turns that do not fit a template", () => {
  it.each([
    [[system, user, assistant], "messages[0] is a system turn"],
    [[user, assistant, system, user], "messages[2] is a system turn"],
    [[assistant], 'messages[0] is of role "assistant" where the template of profile beaver-cost takes "user"'],
    [[user, user, assistant], 'messages[1] is of role "user"'],
    [[user, assistant, assistant], 'messages[2] is of role "assistant"'],
    [[user], "ends with a user turn, messages[0]"],
    [[user, assistant, user], "ends with a user turn, messages[2]"],
    [[], "ends before it starts"],
  ])("beaver refuses %j", (messages, message) => {
    expect(() => render({ messages })).toThrow(refusal("ERR_TEMPLATE", message));
  });

  it.each(["starling", "dpa"])("%s takes one turn each", (name) => {
    const messages = [user, assistant];
    expect(render({ messages }, name)).toBe(render({ prompt: "q", response: "a" }, name));
    expect(() => render({ messages: [...messages, user, assistant] }, name)).toThrow(
      refusal("ERR_TEMPLATE", `messages[2] is one turn too many: the card of profile ${name}`),
    );
  });
});

describe("a chat template", () => {
  const plain = "{% for m in messages %}{{ m.role ~ ':' ~ m.content ~ ';' }}{% endfor %}";

  it("takes the turns that it defines", () => {
    expect(render({ messages: [system, user, user, assistant] }, "custom", plain)).toBe(
      "system:s;user:q;user:q;assistant:a;",
    );
    expect(render({ prompt: "p", response: "r" }, "custom", plain)).toBe("user:p;assistant:r;");
  });

  it.each([
    [[user], "ends with a user turn, messages[0]"],
    [[user, assistant, system], "ends with a system turn, messages[2]"],
    [[], "ends before it starts"],
  ])("does not take %j, which has no answer at its end", (messages, message) => {
    expect(() => render({ messages }, "custom", plain)).toThrow(refusal("ERR_TEMPLATE", message));
  });

  it("that a model lacks is an error with the remedy", () => {
    expect(() => render({ messages: [user, assistant] }, "custom")).toThrow(
      refusal(
        "ERR_TEMPLATE",
        "The model has no chat template, by which profile custom renders conversations. Pass the",
      ),
    );
  });
});
