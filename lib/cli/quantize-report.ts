/** `scorehead quantize --report`: the table that lets a user choose a type. */
import {
  type Agreement,
  type QuantizeReport,
  type QuantizeReportProgress,
  quantizeReport,
  ScoreheadError,
  type ScoreInput,
} from "../index.ts";
import { given, interruptible } from "./arguments.ts";
import { formatBytes, formatScore, tableLines } from "./format.ts";
import { ProgressLine } from "./progress.ts";
import type { QuantizeCommandOptions } from "./quantize.ts";
import { openInputs } from "./score-input.ts";
import { writeLines } from "./stdout.ts";

/** @param texts a file of JSON lines, or true for the built-in ones */
export async function report(input: string, options: QuantizeCommandOptions, texts: string | true): Promise<void> {
  const { types, tensorType: tensorTypes, device, kv, context, threads } = options;
  const chosen = given({ types, tensorTypes, device, kv, context, threads });
  const read = texts === true ? {} : { texts: await readTexts(texts) };
  const line = new ProgressLine();
  const onProgress = (progress: QuantizeReportProgress): void => line.update(() => describe(progress));
  const result = await interruptible((signal) =>
    quantizeReport(input, { ...chosen, ...read, onProgress, signal }),
  ).finally(() => line.end());
  await writeLines(options.json ? [JSON.stringify(result)] : reportLines(result));
}

async function readTexts(path: string): Promise<ScoreInput[]> {
  const texts: ScoreInput[] = [];
  for await (const { content } of await openInputs({ input: path })) {
    if (content instanceof ScoreheadError) throw content;
    texts.push(content);
  }
  return texts;
}

function describe({ model, stage, done, total }: QuantizeReportProgress): string {
  return stage === "quantize"
    ? `${model}: quantising, ${formatBytes(done)} of ${formatBytes(total)}`
    : `${model}: ${done} of ${total} texts`;
}

const HEADER = ["type", "size", "tokens/s", "max error", "mean error", "Spearman", "Kendall", "pairs agree"];

function reportLines({ texts, labels, source, types }: QuantizeReport): string[] {
  const rows = types.map(({ type, bytes, tokensPerSecond, outputs }) => {
    const worst = (value: (agreement: Agreement) => number | null): number =>
      Math.min(...outputs.map((output) => value(output) ?? Number.NaN));
    return [
      type,
      formatBytes(bytes),
      tokensPerSecond.toFixed(0),
      formatPart(-worst(({ maxError, spread }) => -maxError / spread)),
      formatPart(-worst(({ meanError, spread }) => -meanError / spread)),
      formatCorrelation(worst(({ spearman }) => spearman)),
      formatCorrelation(worst(({ kendall }) => kendall)),
      formatPart(worst(({ pairwiseAgreement }) => pairwiseAgreement)),
    ];
  });
  const { type, bytes, tokensPerSecond } = source;
  const spreads = types[0]?.outputs.map(({ spread }) => formatScore(spread)) ?? [];
  return [
    ...tableLines([HEADER, [type, formatBytes(bytes), tokensPerSecond.toFixed(0), "(source)"], ...rows]),
    "",
    `${texts} texts. Errors are parts of the spread of the source's scores (${spreads.join(", ")}).`,
    ...(labels.length > 1 ? [`Of the ${labels.length} outputs, the one that agrees least; --json has all.`] : []),
  ];
}

function formatPart(part: number): string {
  return Number.isFinite(part) ? `${Number((100 * part).toPrecision(3))} %` : "-";
}

function formatCorrelation(value: number): string {
  return Number.isFinite(value) ? value.toFixed(3) : "-";
}
