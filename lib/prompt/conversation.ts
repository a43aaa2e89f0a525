/** Conversation to exact string: checks what the caller gave, then renders it by the profile's template. */
import { ScoreheadError } from "../errors.ts";
import type { ChatTemplate } from "./chat-template.ts";
import type { CardTemplate, ConversationInput, Message, Profile, TemplateTokens } from "./types.ts";

/** What a template needs besides the conversation. */
export interface TemplateContext {
  /** The texts that a template writes for special tokens. */
  readonly tokens: TemplateTokens;
  /** The model's own; null: it has none. */
  readonly chatTemplate: ChatTemplate | null;
  /** For templates that write the date. */
  readonly now: Date;
}

export interface RenderedConversation {
  readonly text: string;
  /** Whether the text may begin with BOS and end with EOS already, which then are not added again. */
  readonly mayHoldEnds: boolean;
}

/**
 * Renders a conversation to the string that the profile's card defines.
 *
 * A card's template takes the texts as they are; a chat template may trim them. Special tokens written in them are
 * parsed later as the checkpoint's own tokenizer does.
 *
 * @param input `{prompt, response}` or `{messages}`, which end with the answer to score; a card's template takes turns
 *   that alternate from user to assistant, a chat template what it defines
 * @param profile whose template
 * @throws ERR_ARGUMENT for wrong types, missing or unknown keys; ERR_TEXT for a text with a lone surrogate;
 *   ERR_TEMPLATE where the turns do not fit the profile's template, with the position of the first that does not, and
 *   where the model has no chat template or it fails
 */
export function renderConversation(
  input: ConversationInput,
  profile: Profile,
  context: TemplateContext,
): RenderedConversation {
  const messages = toMessages(input);
  const { template } = profile;
  if (template.kind === "card") {
    checkTurns(messages, profile.name, template);
    return { text: template.render(messages, context.tokens), mayHoldEnds: false };
  }
  checkEnd(messages);
  return renderChat(withSystem(messages, template.system), profile.name, template.bos, context);
}

function withSystem(messages: readonly Message[], system: string | null): readonly Message[] {
  if (system === null || messages[0]?.role === "system") return messages;
  return [{ role: "system", content: system }, ...messages];
}

function renderChat(
  messages: readonly Message[],
  profile: string,
  bosRule: "once" | "strip" | "remove",
  { chatTemplate, tokens, now }: TemplateContext,
): RenderedConversation {
  if (!chatTemplate)
    throw refusal(
      `The model has no chat template, by which profile ${profile} renders conversations. Pass the exact text as a ` +
        "string, or token ids, or name another profile.",
    );
  const text = chatTemplate.render(messages, tokens, now);
  if (bosRule === "once") return { text, mayHoldEnds: true };
  const { bos } = tokens;
  if (bos === "") return { text, mayHoldEnds: false };
  if (bosRule === "remove") return { text: text.replaceAll(bos, ""), mayHoldEnds: false };
  return { text: text.startsWith(bos) ? text.slice(bos.length) : text, mayHoldEnds: false };
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
    throw argument(`${at}.role must be "system", "user" or "assistant", not ${JSON.stringify(role)}`);
  }
  return { role, content: checkText(message.content, `${at}.content`) };
}

/** Turns alternate, from a user's to an assistant's, and are as many as the template defines. */
function checkTurns(messages: readonly Message[], profile: string, { multiTurn }: CardTemplate): void {
  for (const [i, { role }] of messages.entries()) {
    const expected = i % 2 === 0 ? "user" : "assistant";
    if (role === "system") {
      throw refusal(
        `messages[${i}] is a system turn, which the template of profile ${profile} has no place for. ` +
          "Put its text into the first user turn, or score the exact text as a string.",
      );
    }
    if (role !== expected) {
      throw refusal(
        `messages[${i}] is of role "${role}" where the template of profile ${profile} takes "${expected}". ` +
          "Turns alternate and start with the user; join neighbouring turns of one role.",
      );
    }
    if (!multiTurn && i >= 2) {
      throw refusal(
        `messages[${i}] is one turn too many: the card of profile ${profile} defines one user turn and one assistant ` +
          "turn. Put the earlier turns into the user turn, or score the exact text as a string.",
      );
    }
  }
  checkEnd(messages);
}

/** The answer to score comes last. */
function checkEnd(messages: readonly Message[]): void {
  const last = messages.at(-1);
  if (last?.role === "assistant") return;
  const end = last ? `with a ${last.role} turn, messages[${messages.length - 1}]` : "before it starts";
  throw refusal(`The conversation ends ${end}. Its last turn must be the assistant's: the answer to score.`);
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

function refusal(message: string): ScoreheadError {
  return new ScoreheadError("ERR_TEMPLATE", message);
}
