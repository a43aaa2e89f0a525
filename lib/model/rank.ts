/** Best-of-N: the answers to one prompt, best first. */
import { describe } from "../check-options.ts";
import { ScoreheadError } from "../errors.ts";
import type { LoadedHead, ScoreType } from "../head/types.ts";
import type { Message } from "../prompt/types.ts";
import type { ScoreInput } from "./options.ts";

/** How several outputs become one number: a weight an output, in order or by label (others weigh 0). */
export type Weights = readonly number[] | Readonly<Record<string, number>>;

export interface Ranked {
  /** The answer's place in the array that was given. */
  readonly index: number;
  /** Its score: the end score, or the weighted sum of several. */
  readonly score: number;
}

/** The inputs that a ranking scores. @throws ERR_ARGUMENT; ERR_TEMPLATE where messages do not end with a user turn */
export function rankInputs(prompt: unknown, responses: unknown): ScoreInput[] {
  const answers = Array.isArray(responses) ? Array.from(responses as string[]) : null; // with the holes of a sparse one
  if (!answers?.length)
    throw new ScoreheadError(
      "ERR_ARGUMENT",
      `"responses" has to be an array of at least one text, not ${answers ? "an empty one" : describe(responses)}.`,
    );
  if (typeof prompt === "string") return answers.map((response) => ({ prompt, response }));
  if (!Array.isArray(prompt))
    throw new ScoreheadError("ERR_ARGUMENT", `"prompt" has to be a text or messages, not ${describe(prompt)}.`);
  const messages = prompt as readonly Message[];
  if (messages.at(-1)?.role === "assistant")
    throw new ScoreheadError(
      "ERR_TEMPLATE",
      `messages[${messages.length - 1}] is the assistant's. The messages of a ranking end with a user turn, which the ` +
        "answers follow.",
    );
  return answers.map((content) => ({ messages: [...messages, { role: "assistant" as const, content }] }));
}

/**
 * One weight an output. Without weights the one output counts, or the score of a gated head, which is mixed already.
 * @throws ERR_ARGUMENT where there are several outputs and no weights, or weights that do not fit
 */
export function resolveWeights(
  weights: unknown,
  { labels, kind }: Pick<LoadedHead, "labels" | "kind">,
): readonly number[] {
  if (weights === undefined && (labels.length === 1 || kind === "gated"))
    return labels.map((_, i) => (i === 0 ? 1 : 0));
  if (weights === undefined)
    throw new ScoreheadError(
      "ERR_ARGUMENT",
      `The model has ${labels.length} outputs (${labels.join(", ")}): say with "weights" how they count, as numbers in ` +
        "that order or as {label: number}.",
    );
  if (typeof weights !== "object" || weights === null)
    throw new ScoreheadError("ERR_ARGUMENT", `"weights" has to be an array or an object, not ${describe(weights)}.`);
  const resolved = Array.isArray(weights) ? [...weights] : byLabel(weights as Record<string, unknown>, labels);
  const finite = resolved.every((weight) => typeof weight === "number" && Number.isFinite(weight));
  if (resolved.length !== labels.length || !finite)
    throw new ScoreheadError(
      "ERR_ARGUMENT",
      `"weights" has to be ${labels.length} finite numbers: ${labels.join(", ")}.`,
    );
  return resolved;
}

function byLabel(weights: Readonly<Record<string, unknown>>, labels: readonly string[]): unknown[] {
  if (Object.keys(weights).length === 0)
    throw new ScoreheadError("ERR_ARGUMENT", `"weights" names none of the outputs ${labels.join(", ")}.`);
  const unknown = Object.keys(weights).find((label) => !labels.includes(label));
  if (unknown !== undefined)
    throw new ScoreheadError("ERR_ARGUMENT", `There is no output "${unknown}"; the model has ${labels.join(", ")}.`);
  return labels.map((label) => weights[label] ?? 0);
}

/**
 * The answers, best first: the highest reward, the lowest cost; equal ones in the order they were given.
 * @param endScores of all answers, one after the other
 */
export function rankScores(endScores: ArrayLike<number>, type: ScoreType, weights: readonly number[]): Ranked[] {
  const width = weights.length;
  const ranked = Array.from({ length: endScores.length / width }, (_, index) => ({
    index,
    score: weights.reduce((sum, weight, i) => sum + weight * (endScores[index * width + i] as number), 0),
  }));
  const direction = type === "cost" ? 1 : -1;
  return ranked.sort((a, b) => direction * (a.score - b.score) || a.index - b.index);
}
