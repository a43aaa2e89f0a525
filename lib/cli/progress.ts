/** How far a job is, on stderr: one line that is rewritten on a terminal, a line now and then elsewhere. */
import type { ConvertProgress, ModelStats } from "../index.ts";
import { formatBytes, formatDuration } from "./format.ts";

const TERMINAL_INTERVAL_MS = 100;
/** A log of a long job stays short. */
const LOG_INTERVAL_MS = 30_000;
const ERASE = "\r\x1b[K";

interface Output {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

export class ProgressLine {
  readonly isTerminal: boolean;
  readonly #output: Output;
  #shown = performance.now();
  #text = "";

  constructor(output: Output = process.stderr) {
    this.#output = output;
    this.isTerminal = output.isTTY === true;
  }

  /** Shows a text where the last showing is long enough ago; `last`: on a terminal in any case. */
  update(describe: () => string, last = false): void {
    const now = performance.now();
    const interval = this.isTerminal ? TERMINAL_INTERVAL_MS : LOG_INTERVAL_MS;
    if (!(last && this.isTerminal) && now - this.#shown < interval) return;
    this.#shown = now;
    this.#text = describe();
    this.#output.write(this.isTerminal ? `${ERASE}${this.#text}` : `${this.#text}\n`);
  }

  /** Writes a line that stays, above the progress. */
  say(text: string): void {
    const isShown = this.isTerminal && this.#text !== "";
    this.#output.write(isShown ? `${ERASE}${text}\n${this.#text}` : `${text}\n`);
  }

  /** Removes the line from a terminal. */
  end(): void {
    if (this.isTerminal && this.#text !== "") this.#output.write(ERASE);
    this.#text = "";
  }
}

/** The way to show how far a conversion is. */
export function conversionProgress(line: ProgressLine): (progress: ConvertProgress) => void {
  let stage: ConvertProgress["stage"] | undefined;
  let started = 0;
  return (progress) => {
    if (progress.stage !== stage) {
      stage = progress.stage;
      started = performance.now();
    }
    const seconds = (performance.now() - started) / 1000;
    line.update(() => describeConversion(progress, seconds), progress.done === progress.total);
  };
}

function describeConversion({ stage, done, total }: ConvertProgress, seconds: number): string {
  const percent = `${total === 0 ? 100 : Math.floor((100 * done) / total)} %`;
  if (stage === "quantize") return `quantising: ${percent}, tensor ${done} of ${total}`;
  const rate = seconds > 0 ? `, ${formatBytes(done / seconds)}/s` : "";
  return `writing: ${percent}, ${formatBytes(done)} of ${formatBytes(total)}${rate}`;
}

/** How many inputs are answered, and the bytes of the file that they took, of `size` where that is known. */
export interface Answered {
  readonly count: number;
  readonly bytes: number;
  readonly size: number | null;
}

type TokenStats = Pick<ModelStats, "tokensAsked" | "tokensComputed" | "tokensReused">;

/** E.g. "1200 inputs, 24.0/s, 3100 tokens/s, 61 % reused, 40 % of the file, 75 s left". */
export function describeAnswering({ count, bytes, size }: Answered, seconds: number, stats: TokenStats): string {
  const { tokensAsked, tokensReused } = stats;
  const reused = tokensAsked === 0 ? 0 : Math.floor((100 * tokensReused) / tokensAsked);
  const parts = [
    `${count} inputs`,
    `${(count / seconds).toFixed(1)}/s`,
    `${Math.round(stats.tokensComputed / seconds)} tokens/s`,
    `${reused} % reused`,
  ];
  if (size !== null && size > 0 && bytes > 0) {
    const part = Math.min(1, bytes / size);
    parts.push(`${Math.floor(100 * part)} % of the file`, `${formatDuration(seconds / part - seconds)} left`);
  }
  return parts.join(", ");
}
