/** How well two sets of scores of the same texts agree: what a user looks at before choosing a quantised type. */

/** One output's scores beside the same output's from another file. */
export interface Agreement {
  /** The largest difference. */
  readonly maxError: number;
  /** The mean of the differences' sizes. */
  readonly meanError: number;
  /** The largest of the source's scores minus the smallest: what an error is to be held against. */
  readonly spread: number;
  /** Spearman's rank correlation; null where one side gives every text the same score. */
  readonly spearman: number | null;
  /** Kendall's tau-b; null as above. */
  readonly kendall: number | null;
  /**
   * The part of all pairs of texts with different scores in the source that come in the same order; a pair that became
   * equal counts half. null where there is no such pair.
   */
  readonly pairwiseAgreement: number | null;
}

/**
 * @param source the scores to agree with, one a text
 * @param other as many scores of the same texts
 */
export function compareScores(source: ArrayLike<number>, other: ArrayLike<number>): Agreement {
  const expected = Array.from(source);
  const found = Array.from(other);
  const errors = expected.map((score, i) => Math.abs(score - (found[i] as number)));
  const pairs = countPairs(expected, found);
  const { concordant, discordant, untiedSource, untiedOther } = pairs;
  return {
    maxError: errors.reduce((a, b) => Math.max(a, b), 0),
    meanError: errors.reduce((sum, error) => sum + error, 0) / Math.max(1, errors.length),
    spread: expected.length === 0 ? 0 : max(expected) + max(expected.map((score) => -score)),
    spearman: correlation(ranks(expected), ranks(found)),
    kendall: quotient(concordant - discordant, Math.sqrt(untiedSource * untiedOther)),
    pairwiseAgreement: quotient(concordant + (untiedSource - concordant - discordant) / 2, untiedSource),
  };
}

function max(values: readonly number[]): number {
  return values.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
}

/** Null instead of a division by 0. */
function quotient(a: number, b: number): number | null {
  return b === 0 ? null : a / b;
}

interface Pairs {
  /** In the same order on both sides. */
  concordant: number;
  /** In opposite order. */
  discordant: number;
  /** With different scores in the source. */
  untiedSource: number;
  /** With different scores on the other side. */
  untiedOther: number;
}

function countPairs(source: readonly number[], other: readonly number[]): Pairs {
  const pairs: Pairs = { concordant: 0, discordant: 0, untiedSource: 0, untiedOther: 0 };
  for (let i = 0; i < source.length; i++)
    for (let j = 0; j < i; j++) {
      const a = Math.sign((source[i] as number) - (source[j] as number));
      const b = Math.sign((other[i] as number) - (other[j] as number));
      if (a !== 0) pairs.untiedSource++;
      if (b !== 0) pairs.untiedOther++;
      if (a * b > 0) pairs.concordant++;
      if (a * b < 0) pairs.discordant++;
    }
  return pairs;
}

/** Places in ascending order, from 1; equal values share the mean of theirs. */
function ranks(values: readonly number[]): number[] {
  const order = Array.from(values.keys()).sort((a, b) => (values[a] as number) - (values[b] as number));
  const result = new Array<number>(values.length);
  for (let start = 0; start < order.length; ) {
    let end = start;
    while (end < order.length && values[order[end] as number] === values[order[start] as number]) end++;
    for (const i of order.slice(start, end)) result[i] = (start + 1 + end) / 2;
    start = end;
  }
  return result;
}

/** Pearson's; null where a side does not vary. */
function correlation(a: readonly number[], b: readonly number[]): number | null {
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [meanA, meanB] = [mean(a), mean(b)];
  let [covariance, varianceA, varianceB] = [0, 0, 0];
  for (const [i, value] of a.entries()) {
    const [deviationA, deviationB] = [value - meanA, (b[i] as number) - meanB];
    covariance += deviationA * deviationB;
    varianceA += deviationA ** 2;
    varianceB += deviationB ** 2;
  }
  return quotient(covariance, Math.sqrt(varianceA * varianceB));
}
