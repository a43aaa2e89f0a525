/** Ranking a stream: the answers of many prompts, each prompt computed once, in bounded memory. */
import { describe } from "../check-options.ts";
import { isScoreheadError, ScoreheadError } from "../errors.ts";
import type { Engine } from "./engine.ts";
import type { RankInput, RankStreamOptions, StreamInput } from "./options.ts";
import { type Ranked, rankInputs, rankScores } from "./rank.ts";
import { streamScores } from "./stream.ts";
import type { Items } from "./stream-source.ts";

/** One input's answers, best first, or why they could not be ranked. */
export type RankResult =
  | { readonly index: number; readonly ranking: readonly Ranked[]; readonly error?: undefined }
  | { readonly index: number; readonly error: ScoreheadError };

/** An input whose answers are on their way. */
interface Open {
  /** Answers that are still to come. */
  left: number;
  readonly endScores: number[];
  error: ScoreheadError | null;
}

/**
 * Ranks each input's answers. The answers of all inputs are one stream of texts: those of one prompt follow each other,
 * so that they share it, and the last of them fill a micro-batch with the first of the next prompt.
 */
export async function* streamRankings(
  engine: Engine,
  inputs: Items<RankInput>,
  weights: readonly number[],
  options: Omit<RankStreamOptions, "weights">,
): AsyncGenerator<RankResult, void, undefined> {
  const open: Open[] = [];
  let index = 0;
  for await (const { error, ...output } of streamScores(engine, answersOf(inputs, open), options)) {
    const [first] = open as [Open];
    first.left--;
    first.error ??= error ?? null;
    if ("endScores" in output) first.endScores.push(...output.endScores.data);
    if (first.left > 0) continue;
    open.shift();
    if (first.error) yield { index, error: first.error };
    else yield { index, ranking: rankScores(first.endScores, engine.spec.type, weights) };
    index++;
  }
}

/** Every answer as a text to score; a wrong input is its error instead. */
async function* answersOf(inputs: Items<RankInput>, open: Open[]): AsyncGenerator<StreamInput> {
  for await (const input of inputs) {
    const answers = toAnswers(input);
    open.push({ left: answers.length, endScores: [], error: null });
    yield* answers;
  }
}

function toAnswers(input: RankInput): StreamInput[] {
  try {
    if (input instanceof ScoreheadError) return [input];
    const { prompt, responses } = checkRankInput(input);
    return rankInputs(prompt, responses);
  } catch (error) {
    if (!isScoreheadError(error)) throw error;
    return [error];
  }
}

function checkRankInput(input: unknown): { readonly prompt: unknown; readonly responses: unknown } {
  if (typeof input !== "object" || input === null || Array.isArray(input))
    throw new ScoreheadError(
      "ERR_ARGUMENT",
      `An input has to be {prompt, responses} or {messages, responses}, not ${describe(input)}.`,
    );
  const { responses, ...rest } = input as Record<string, unknown>;
  const [name, ...others] = Object.keys(rest);
  if (others.length === 0 && name === "prompt" && typeof rest.prompt === "string")
    return { prompt: rest.prompt, responses };
  if (others.length === 0 && name === "messages" && Array.isArray(rest.messages))
    return { prompt: rest.messages, responses };
  throw new ScoreheadError(
    "ERR_ARGUMENT",
    'An input has to hold "prompt", a text, or "messages", an array, and "responses"; it holds ' +
      `${
        Object.entries(input)
          .map(([key, value]) => `"${key}", ${describe(value)}`)
          .join("; ") || "nothing"
      }.`,
  );
}
