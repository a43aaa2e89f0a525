/**
 * The whole flow from texts to scores:
 *
 *     input ─ text (prompt/) ─ ids (tokens/) ─ row ─ micro-batches (batch/) ─ addon ─ scored row ─ output (head/)
 */
import { cellsOf, OUTSIDE_TEXT, planBatches } from "../batch/plan.ts";
import type { BatchLimits, Delivery, Row } from "../batch/types.ts";
import { ScoreheadError } from "../errors.ts";
import { normalizeScores } from "../head/normalize.ts";
import { assembleOutput, type ScoredRow, type ScoreModelOutput } from "../head/output.ts";
import { readIndex } from "../head/read-position.ts";
import type { HeadSpec } from "../head/types.ts";
import { renderConversation } from "../prompt/conversation.ts";
import type { ConversationInput, Profile } from "../prompt/types.ts";
import type { ModelHandle, NativeAddon, NativeBatchResult } from "../runtime/contract.ts";
import { nativeError } from "../runtime/open.ts";
import { checkIds } from "../tokens/check-ids.ts";
import { encodeText } from "../tokens/encode.ts";
import { truncateIds } from "../tokens/truncate.ts";
import type { TokenizerRules } from "../tokens/types.ts";
import { describe, type ScoreInput, type ScoreOptions } from "./options.ts";
import type { Checkpoint } from "./queue.ts";

/** A loaded model, as the pipeline sees it. */
export interface Engine {
  readonly addon: NativeAddon;
  readonly handle: ModelHandle;
  readonly spec: HeadSpec;
  /** null: the file names a profile that this version does not know, so it has no template. */
  readonly profile: Profile | null;
  readonly rules: TokenizerRules;
  readonly tokenText: (id: number) => string;
  readonly limits: BatchLimits;
  /** The most positions that the backbone was made for. */
  readonly contextLength: number;
}

/** Scores texts, in input order. `proceed` is called before each micro-batch and throws to stop. */
export async function scoreInputs(
  engine: Engine,
  inputs: readonly ScoreInput[],
  options: ScoreOptions,
  proceed: Checkpoint,
): Promise<ScoreModelOutput> {
  const { addon, handle, spec, limits } = engine;
  const texts = inputs.map((input) => fitToLength(engine, toIds(engine, input, options), options));
  const rows = texts.map(({ ids }) => toRow(engine, ids, options));
  const collected = rows.map((row) => newCollector(row, spec));
  for (const { native, deliveries } of planBatches(rows, limits)) {
    proceed();
    const result = await addon.decode(handle, native).catch((error: unknown) => {
      throw nativeError(error);
    });
    deliver(result, deliveries, rows, collected, spec);
  }
  return assembleOutput(
    collected.map((collector, i) => toScoredRow(collector, rows[i] as Row, texts[i]?.dropped ?? 0, spec)),
    spec,
  );
}

/** Input → ids: the profile's template for conversations, the checkpoint's tokenizer for texts, ids as they are. */
export function toIds(engine: Engine, input: ScoreInput, options: Pick<ScoreOptions, "appendEos">): Int32Array {
  const { addon, handle, rules } = engine;
  if (typeof input === "object" && input !== null && "tokenIds" in input) {
    const unknown = Object.keys(input).find((key) => key !== "tokenIds");
    if (unknown) throw new ScoreheadError("ERR_ARGUMENT", `An input of token ids has no property "${unknown}".`);
    return checkIds(input.tokenIds, rules.vocabularySize);
  }
  const text = typeof input === "string" ? input : renderInput(engine, input);
  const encodePiece = (piece: string): Int32Array => addon.tokenize(handle, piece);
  return encodeText(text, rules, encodePiece, { appendEos: options.appendEos ?? false });
}

function renderInput({ profile, rules, spec, tokenText }: Engine, input: ConversationInput): string {
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
  return renderConversation(input, profile, { bos: text(rules.bosId), eos: text(rules.eosId) });
}

/** Cuts ids to the length asked for, or refuses them with the numbers. */
function fitToLength(engine: Engine, ids: Int32Array, options: ScoreOptions): { ids: Int32Array; dropped: number } {
  const { spec, profile, rules, limits, contextLength } = engine;
  const limit = options.maxLength ?? spec.maxLength;
  if (limit > Math.max(contextLength, spec.maxLength))
    throw new ScoreheadError(
      "ERR_ARGUMENT",
      `"maxLength" is ${limit}, and the model has positions for ${Math.max(contextLength, spec.maxLength)} tokens.`,
    );
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
  if (fitted.ids.length + 2 > limits.contextTokens)
    throw new ScoreheadError(
      "ERR_INPUT_TOO_LONG",
      `The text has ${fitted.ids.length} tokens and the context holds ${limits.contextTokens - 2}. Load the model with ` +
        "a larger `context`, or cut the text with `maxLength`.",
    );
  return fitted;
}

function toRow({ spec, rules, limits }: Engine, tokens: Int32Array, options: ScoreOptions): Row {
  const row: Row = {
    tokens,
    read: readPosition(spec, rules, tokens, options),
    perToken: options.perToken ?? false,
    hidden: options.hiddenStates ?? "none",
  };
  if (cellsOf(row) > limits.contextTokens) throw new ScoreheadError("ERR_INTERNAL", "A row exceeds the context.");
  return row;
}

function readPosition(spec: HeadSpec, rules: TokenizerRules, ids: Int32Array, options: ScoreOptions): Row["read"] {
  const read = options.read ?? spec.read;
  if (read !== "card") return readIndex(ids, read, rules.padId);
  const maxLength = options.maxLength ?? spec.maxLength;
  // A text that fills the length leaves no pad to read at.
  if (ids.length >= maxLength) return ids.length - 1;
  if (rules.unkId === null)
    throw new ScoreheadError(
      "ERR_UNSUPPORTED",
      "Reading as Starling's card does needs an <unk> token, and there is none.",
    );
  return { token: rules.unkId, position: maxLength - 1 };
}

/** What arrives for a row, micro-batch by micro-batch; normalised at the end. */
interface Collector {
  readonly endScores: Float32Array;
  readonly scores: Float32Array | null;
  readonly endHidden: Float32Array | null;
  readonly hidden: Float32Array | null;
}

function newCollector({ tokens, perToken, hidden }: Row, { outputs, hiddenSize }: HeadSpec): Collector {
  return {
    endScores: new Float32Array(outputs),
    scores: perToken ? new Float32Array(tokens.length * outputs) : null,
    endHidden: hidden === "none" ? null : new Float32Array(hiddenSize),
    hidden: hidden === "all" ? new Float32Array(tokens.length * hiddenSize) : null,
  };
}

/** Copies a micro-batch's outputs to the rows that they belong to. */
function deliver(
  { scores, hidden }: NativeBatchResult,
  deliveries: readonly Delivery[],
  rows: readonly Row[],
  collected: readonly Collector[],
  { outputs, hiddenSize }: HeadSpec,
): void {
  let hiddenRow = 0;
  for (const [output, { row, token, hidden: hasHidden }] of deliveries.entries()) {
    const target = collected[row] as Collector;
    const isEnd = token === OUTSIDE_TEXT || token === rows[row]?.read;
    const score = scores.subarray(output * outputs, (output + 1) * outputs);
    if (isEnd) target.endScores.set(score);
    if (token !== OUTSIDE_TEXT) target.scores?.set(score, token * outputs);
    if (!hasHidden) continue;
    const state = hidden.subarray(hiddenRow * hiddenSize, (hiddenRow + 1) * hiddenSize);
    if (isEnd) target.endHidden?.set(state);
    if (token !== OUTSIDE_TEXT) target.hidden?.set(state, token * hiddenSize);
    hiddenRow++;
  }
}

function toScoredRow(collector: Collector, row: Row, truncated: number, { normalizer }: HeadSpec): ScoredRow {
  const normalized = (scores: Float32Array): Float32Array =>
    normalizer ? normalizeScores(scores, normalizer) : scores;
  return {
    tokenIds: row.tokens,
    endIndex: typeof row.read === "number" ? row.read : row.read.position,
    endScores: normalized(collector.endScores),
    ...(collector.scores && { scores: normalized(collector.scores) }),
    ...(collector.endHidden && { endHidden: collector.endHidden }),
    ...(collector.hidden && { hidden: collector.hidden }),
    truncated,
  };
}
