/**
 * The whole flow from texts to scores, on one screen:
 *
 *     input ─ exact text (prompt/) ─ token ids (tokens/) ─ row ─ prefix tree ─ micro-batches (batch/)
 *           ─ backbone and head (addon) ─ collected rows ─ output (head/)
 */
import { assembleOutput, type ScoreModelOutput } from "../head/output.ts";
import type { Engine } from "./engine.ts";
import { blameText, NonFiniteOutput } from "./non-finite.ts";
import type { ScoreInput, ScoreOptions } from "./options.ts";
import { type PreparedText, prepareTexts } from "./prepare.ts";

/** Scores texts; the output's rows are in input order. */
export async function scoreInputs(
  engine: Engine,
  inputs: readonly ScoreInput[],
  options: ScoreOptions,
): Promise<ScoreModelOutput> {
  return scoreTexts(engine, await prepareTexts(engine, inputs, options), options);
}

/** Scores texts that are prepared. */
export async function scoreTexts(
  { scheduler, collector, spec }: Engine,
  texts: readonly PreparedText[],
  { signal, onProgress }: Pick<ScoreOptions, "signal" | "onProgress">,
): Promise<ScoreModelOutput> {
  const rows = texts.map(({ row }) => row);
  await scheduler
    .run(rows, signal, onProgress && ((done, total) => onProgress({ done, total })))
    .catch((error: unknown) => {
      if (!(error instanceof NonFiniteOutput)) throw error;
      return blameText(error, rows, (row) => scheduler.run([row], signal));
    });
  return assembleOutput(
    texts.map(({ row, dropped }) => collector.scoredRow(row, dropped)),
    spec,
  );
}
