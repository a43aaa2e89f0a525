/** A micro-batch with numbers that are none: the scheduler knows the row, the pipeline which text of the call that is. */
import { type Delivery, OUTSIDE_TEXT, type Row } from "../batch/types.ts";
import { ScoreheadError } from "../errors.ts";

/** ERR_NON_FINITE for the rows that share a token whose hidden state or scores are not finite. */
export class NonFiniteOutput extends ScoreheadError {
  readonly #rows: readonly Row[];
  readonly #token: string;

  constructor(deliveries: readonly Delivery[]) {
    const token = deliveries[0]?.token ?? OUTSIDE_TEXT;
    const name = token === OUTSIDE_TEXT ? "the read position" : `token ${token}`;
    super("ERR_NON_FINITE", describe("A text", name));
    this.#rows = deliveries.map(({ row }) => row);
    this.#token = name;
  }

  /** The same error with the text's index among a call's rows. */
  among(rows: readonly Row[]): ScoreheadError {
    const index = rows.findIndex((row) => this.#rows.includes(row));
    return new ScoreheadError("ERR_NON_FINITE", describe(`Text ${index}`, this.#token));
  }
}

function describe(text: string, token: string): string {
  return (
    `${text}: the hidden state or a score of ${token} is NaN or infinite. The checkpoint is damaged, or its numbers ` +
    "overflow 16 bits: convert it with --type f32 or bf16, or load it with kv f32."
  );
}
