/** A micro-batch with numbers that are none: which text of a call is to blame. */
import type { Delivery, Row } from "../batch/types.ts";
import { ScoreheadError } from "../errors.ts";

/**
 * ERR_NON_FINITE for a micro-batch. Any of its rows may be the cause: attention multiplies the cells that a token must
 * not see by 0, and 0 times NaN is NaN.
 */
export class NonFiniteOutput extends ScoreheadError {
  readonly suspects: ReadonlySet<Row>;

  constructor(deliveries: readonly (readonly Delivery[])[]) {
    super("ERR_NON_FINITE", describe("One of the texts"));
    this.suspects = new Set(deliveries.flat().map(({ row }) => row));
  }
}

/**
 * Computes the suspects among a call's rows again, one at a time, until one fails.
 * @throws ERR_NON_FINITE with its place in the call, and without one where none fails again
 */
export async function blameText(
  error: NonFiniteOutput,
  rows: readonly Row[],
  compute: (row: Row) => Promise<void>,
): Promise<never> {
  for (const [i, row] of rows.entries()) {
    if (!error.suspects.has(row)) continue;
    const again =
      rows.length === 1
        ? error
        : await compute(row).then(
            () => null,
            (reason: unknown) => reason,
          );
    if (again instanceof NonFiniteOutput) throw new ScoreheadError("ERR_NON_FINITE", describe(`Text ${i}`));
    if (again !== null) throw again;
  }
  throw error;
}

function describe(text: string): string {
  return (
    `${text} gives a hidden state or score that is NaN or infinite. The checkpoint is damaged, or its numbers overflow ` +
    "16 bits: convert it with --type f32 or bf16, or load it with kv f32."
  );
}
