/** Conversation to exact string: checks what the caller gave, then renders it by the profile's template. */
import { ScoreheadError } from "../errors.ts";
import type { ConversationInput, Message, Profile, TemplateTokens } from "./types.ts";

/**
 * Renders a conversation to the string that the profile's card defines.
 *
 * The texts are taken as they are: nothing is trimmed, and special tokens written in them are parsed later as the
 * checkpoint's own tokenizer does.
 *
 * @param input `{prompt, response}` or `{messages}`; `messages` alternate user and assistant, from user to assistant
 * @param profile whose template
 * @param tokens the texts that the template writes for special tokens
 * @returns the exact text, without BOS
 * @throws ERR_ARGUMENT for wrong types, missing or unknown keys; ERR_TEXT for a text with a lone surrogate;
 *   ERR_TEMPLATE where the turns do not fit the profile's template, with the position of the first that does not
 */
export function renderConversation(input: ConversationInput, profile: Profile, tokens: TemplateTokens): string {
  const messages = toMessages(input);
  checkTurns(messages, profile);
  return profile.render(messages, tokens);
}

function toMessages(input: unknown): readonly Message[] {
  if (!isObject(input)) throw argument(`A conversation must be an object, not ${nameType(input)}`);
  if ("messages" in input) {
    checkKeys(input, ["messages"], "a conversation given as messages");
    const { messages } = input;
    if (!Array.isArray(messages)) throw argument(`"messages" must be an array, not ${nameType(messages)}`);
    return Array.from(messages, toMessage); // unlike map, visits the holes of a sparse array
  }
  checkKeys(input, ["prompt", "response"], "a conversation given as prompt and response");
  return [
    { role: "user", content: checkText(input.prompt, `"prompt"`) },
    { role: "assistant", content: checkText(input.response, `"response"`) },
  ];
}

function toMessage(message: unknown, i: number): Message {
  const at = `messages[${i}]`;
  if (!isObject(message)) throw argument(`${at} must be an object, not ${nameType(message)}`);
  checkKeys(message, ["role", "content"], at);
  const { role } = message;
  if (role !== "system" && role !== "user" && role !== "assistant") {
    throw argument(`${at}.role must be "user" or "assistant", not ${JSON.stringify(role)}`);
  }
  return { role, content: checkText(message.content, `${at}.content`) };
}

/** Turns alternate, from a user's to an assistant's, and are as many as the template defines. */
function checkTurns(messages: readonly Message[], { name, multiTurn }: Profile): void {
  for (const [i, { role }] of messages.entries()) {
    const expected = i % 2 === 0 ? "user" : "assistant";
    if (role === "system") {
      throw template(
        `messages[${i}] is a system turn, which the template of profile ${name} has no place for. ` +
          "Put its text into the first user turn, or score the exact text as a string.",
      );
    }
    if (role !== expected) {
      throw template(
        `messages[${i}] is of role "${role}" where the template of profile ${name} takes "${expected}". ` +
          "Turns alternate and start with the user; join neighbouring turns of one role.",
      );
    }
    if (!multiTurn && i >= 2) {
      throw template(
        `messages[${i}] is one turn too many: the card of profile ${name} defines one user turn and one assistant ` +
          "turn. Put the earlier turns into the user turn, or score the exact text as a string.",
      );
    }
  }
  if (messages.length % 2 !== 0 || messages.length === 0) {
    throw template(
      `The conversation ends ${messages.length === 0 ? "before it starts" : `with a user turn, messages[${messages.length - 1}]`}. ` +
        "Its last turn must be the assistant's: the answer to score.",
    );
  }
}

/** Refuses keys that nothing reads: a typo must not pass for an option left out. */
function checkKeys(object: Readonly<Record<string, unknown>>, allowed: readonly string[], what: string): void {
  for (const key of Object.keys(object)) {
    if (!allowed.includes(key)) {
      throw argument(`Unknown key "${key}" in ${what}; it takes ${allowed.map((k) => `"${k}"`).join(" and ")}`);
    }
  }
}

function checkText(text: unknown, what: string): string {
  if (typeof text !== "string") throw argument(`${what} must be a string, not ${nameType(text)}`);
  const at = text.search(/\p{Surrogate}/u); // with the u flag only a surrogate without its partner
  if (at >= 0) {
    throw new ScoreheadError(
      "ERR_TEXT",
      `${what} has a lone surrogate at index ${at}: it is not Unicode text. Repair it, e.g. with toWellFormed().`,
    );
  }
  return text;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function nameType(value: unknown): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "an array" : typeof value;
}

function argument(message: string): ScoreheadError {
  return new ScoreheadError("ERR_ARGUMENT", `${message}.`);
}

function template(message: string): ScoreheadError {
  return new ScoreheadError("ERR_TEMPLATE", message);
}
