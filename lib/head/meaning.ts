/** What an end score means, as a sentence for people. */
import type { ScoreType } from "./types.ts";

/**
 * Says what one end score means.
 *
 * The number is rounded to six significant digits, which never changes its sign; data output keeps full precision.
 *
 * @param type what the model's scores mean
 * @param label the output's label
 * @param score as in `endScores`
 * @returns e.g. "cost -10.75: safe, <= 0", "reward 1.2: higher is more helpful", "helpsteer-verbosity 50: 2 on
 *   HelpSteer's scale from 0 to 4"
 * @source the cards of beaver-7b-v1.0-cost, beaver-7b-v1.0-reward and RewardModel-Mistral-7B-for-DPA-v1
 */
export function scoreMeaning(type: ScoreType, label: string, score: number): string {
  const head = `${label} ${shorten(score)}`;
  switch (type) {
    case "cost":
      return score > 0 ? `${head}: harmful, > 0` : `${head}: safe, <= 0`;
    case "reward":
      // A gated head's other outputs, which its score is mixed from, have scales of their own.
      return /^reward(_\d+)?$/.test(label) ? `${head}: higher is more helpful` : head;
    case "attributes":
      if (label.startsWith("helpsteer-"))
        return `${head}: ${shorten((score - 10) / 20)} on HelpSteer's scale from 0 to 4`;
      return label.startsWith("ultrafeedback-") ? `${head}: on a scale from 0 to 100` : head;
  }
}

function shorten(value: number): string {
  return String(Number(value.toPrecision(6)));
}
