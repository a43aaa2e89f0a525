/** Inputs → rows: the profile's template, the checkpoint's tokenizer, truncation, and what each row is wanted for. */
import { checkAborted } from "../abort.ts";
import type { Row } from "../batch/types.ts";
import { describe } from "../check-options.ts";
import { ScoreheadError } from "../errors.ts";
import { gatingIndex } from "../head/gating.ts";
import { readIndex, readToken } from "../head/read-position.ts";
import { type RenderedConversation, renderConversation } from "../prompt/conversation.ts";
import type { ConversationInput, Message } from "../prompt/types.ts";
import { checkIds } from "../tokens/check-ids.ts";
import { encodeSteps } from "../tokens/encode.ts";
import { truncateIds } from "../tokens/truncate.ts";
import type { Engine } from "./engine.ts";
import type { ScoreInput, ScoreOptions } from "./options.ts";
import { Slices } from "./slices.ts";

/** A text that is ready to be computed: nothing of it belongs to the caller any more. */
export interface PreparedText {
  readonly row: Row;
  /** Tokens dropped by truncation. */
  readonly dropped: number;
}

/**
 * Prepares a call's texts, in slices. What the caller passed is copied before this function first pauses: arrays and
 * messages may be reused once the call is made.
 *
 * @param keepLast whether the last text's prefix stays in the cache for what comes next
 */
export async function prepareTexts(
  engine: Engine,
  inputs: readonly ScoreInput[],
  options: ScoreOptions,
  keepLast = true,
): Promise<PreparedText[]> {
  lengthLimit(engine, options); // an option that does not fit is wrong for no text too
  const taken = inputs.map((input) => take(engine, input));
  const texts: PreparedText[] = [];
  const slices = new Slices();
  const pause = async (): Promise<void> => {
    await slices.pause();
    engine.scheduler.checkOpen();
    checkAborted(options.signal);
  };
  for (const [i, input] of taken.entries()) {
    if (slices.isOver) await pause();
    const steps = idSteps(engine, input, options);
    let step = steps.next();
    for (; !step.done; step = steps.next()) if (slices.isOver) await pause();
    const { ids, dropped } = fitToLength(engine, step.value, options);
    texts.push({ row: toRow(engine, ids, options, keepLast && i === taken.length - 1), dropped });
  }
  return texts;
}

/** The token ids of an input, before truncation. */
export function toIds(engine: Engine, input: ScoreInput, options: Pick<ScoreOptions, "appendEos">): Int32Array {
  const steps = idSteps(engine, take(engine, input), options);
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}

/** What the caller passed, as it is now. Ids are checked. */
function take(engine: Engine, input: ScoreInput): string | ConversationInput | Int32Array {
  // What is no object at all is refused where it is rendered.
  if (typeof input !== "object" || input === null || Array.isArray(input)) return input as string | ConversationInput;
  if ("tokenIds" in input) {
    const unknown = Object.keys(input).find((key) => key !== "tokenIds");
    if (unknown) throw new ScoreheadError("ERR_ARGUMENT", `An input of token ids has no property "${unknown}".`);
    return checkIds(input.tokenIds, engine.rules.vocabularySize);
  }
  if (!("messages" in input) || !Array.isArray(input.messages)) return { ...input };
  const copy = (message: Message): Message =>
    typeof message === "object" && message !== null && !Array.isArray(message) ? { ...message } : message;
  return { ...input, messages: Array.from(input.messages, copy) };
}

/** An input's ids, in steps that can be paused between. */
function* idSteps(
  engine: Engine,
  input: string | ConversationInput | Int32Array,
  { appendEos = false }: Pick<ScoreOptions, "appendEos">,
): Generator<undefined, Int32Array> {
  if (input instanceof Int32Array) return input;
  const { rules, subwords } = engine;
  if (typeof input === "string") return yield* encodeSteps(input, rules, subwords, { appendEos });
  const { text, mayHoldEnds } = renderInput(engine, input);
  yield;
  return withReadToken(engine, yield* encodeSteps(text, rules, subwords, { appendEos, mayHoldEnds }));
}

/** A conversation's ids, closed by the token that the score is read at where the profile's code does that. */
function withReadToken({ profile, spec }: Engine, ids: Int32Array): Int32Array {
  const token = readToken(spec.read);
  const isAppended = profile?.template.kind === "chat" && profile.template.appendsReadToken;
  if (token === null || !isAppended || ids.at(-1) === token) return ids;
  const closed = new Int32Array(ids.length + 1);
  closed.set(ids);
  closed[ids.length] = token;
  return closed;
}

function renderInput(
  { profile, chatTemplate, rules, spec, tokenText }: Engine,
  input: ConversationInput,
): RenderedConversation {
  if (typeof input !== "object" || input === null)
    throw new ScoreheadError(
      "ERR_ARGUMENT",
      `An input has to be a string, {prompt, response}, {messages} or {tokenIds}, not ${describe(input)}.`,
    );
  if (!profile)
    throw new ScoreheadError(
      "ERR_TEMPLATE",
      `The model's profile "${spec.profile}" is not one that this version knows, so it has no template. Load it with ` +
        "another `profile`, or pass the exact text as a string.",
    );
  const text = (id: number | null): string => (id === null ? "" : tokenText(id));
  const tokens = { bos: text(rules.bosId), eos: text(rules.eosId), unk: text(rules.unkId), pad: text(rules.padId) };
  return renderConversation(input, profile, { tokens, chatTemplate, now: new Date() });
}

/** The most tokens that a call's texts may have. @throws ERR_ARGUMENT where the model has no positions for so many */
function lengthLimit({ spec, backbone }: Engine, { maxLength = spec.maxLength }: ScoreOptions): number {
  if (maxLength <= backbone.contextLength) return maxLength;
  throw new ScoreheadError(
    "ERR_ARGUMENT",
    `"maxLength" is ${maxLength}, and the model has positions for ${backbone.contextLength} tokens.`,
  );
}

/** Cuts ids to the length asked for, or refuses them with the numbers. */
function fitToLength(engine: Engine, ids: Int32Array, options: ScoreOptions): { ids: Int32Array; dropped: number } {
  const { spec, profile, rules, info } = engine;
  const limit = lengthLimit(engine, options);
  const mayCut =
    options.maxLength !== undefined || options.truncate !== undefined || profile?.truncation.automatic === true;
  const side = options.truncate ?? spec.truncationSide;
  const fitted = mayCut ? truncateIds(ids, { maxLength: limit, side, keepBos: rules.bosId }) : { ids, dropped: 0 };
  if (fitted.ids.length > limit)
    throw new ScoreheadError(
      "ERR_INPUT_TOO_LONG",
      `The text has ${ids.length} tokens and the model takes ${limit}. Shorten it, or cut it with \`maxLength\` ` +
        "(and `truncate`).",
    );
  // The card reading adds a placeholder and the token that is read.
  const room = info.contextTokens - 2;
  if (fitted.ids.length > room)
    throw new ScoreheadError(
      "ERR_INPUT_TOO_LONG",
      `The text has ${fitted.ids.length} tokens and the context holds ${room}. Load the model with a larger ` +
        "`context`, or cut the text with `maxLength`.",
    );
  return fitted;
}

function toRow(engine: Engine, tokens: Int32Array, options: ScoreOptions, keep: boolean): Row {
  const { spec } = engine;
  const read = readPosition(engine, tokens, options);
  const gate = spec.mixing && gatingIndex(tokens, spec.mixing.pattern);
  return { tokens, read, gate, perToken: options.perToken ?? false, hidden: options.hiddenStates ?? "none", keep };
}

function readPosition({ spec, rules, backbone }: Engine, ids: Int32Array, options: ScoreOptions): Row["read"] {
  const read = options.read ?? spec.read;
  if (read !== "card") return readIndex(ids, read, rules.padId);
  const maxLength = options.maxLength ?? spec.maxLength;
  // A text that fills the length leaves no pad to read at.
  if (ids.length >= maxLength) return ids.length - 1;
  if (backbone.window !== null)
    throw new ScoreheadError(
      "ERR_UNSUPPORTED",
      `Reading as Starling's card does needs one attention mask for all layers, and ${backbone.architecture} has two.`,
    );
  if (rules.unkId === null)
    throw new ScoreheadError(
      "ERR_UNSUPPORTED",
      "Reading as Starling's card does needs an <unk> token, and there is none.",
    );
  return { token: rules.unkId, position: maxLength - 1 };
}
