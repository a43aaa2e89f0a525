/** How far a job is, on stderr: lines that are rewritten on a terminal, a line now and then elsewhere. */
import type { ModelStats, Progress } from "../index.ts";
import { formatBytes, formatDuration } from "./format.ts";

const TERMINAL_INTERVAL_MS = 100;
/** A log of a long job stays short. */
const LOG_INTERVAL_MS = 30_000;
const ERASE = "\r\x1b[K";
const UP = "\x1b[A";
const DEFAULT_COLUMNS = 80;

interface Output {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** What is shown at the moment; one line, or on a terminal several. */
export class ProgressLine {
  readonly isTerminal: boolean;
  readonly #output: Output;
  #shown = performance.now();
  #lines: readonly string[] = [];

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
    const text = describe();
    if (!this.isTerminal) {
      this.#output.write(`${text}\n`);
      return;
    }
    // A line that the terminal wraps could not be erased.
    const width = (this.#output.columns ?? DEFAULT_COLUMNS) - 1;
    const lines = text.split("\n").map((line) => line.slice(0, width));
    this.#output.write((this.#erasing() || ERASE) + lines.join("\n"));
    this.#lines = lines;
  }

  /** Writes a line that stays, above the progress. */
  say(text: string): void {
    this.#output.write(`${this.#erasing()}${text}\n${this.#lines.join("\n")}`);
  }

  /** Removes the lines from a terminal. */
  end(): void {
    if (this.#lines.length > 0) this.#output.write(this.#erasing());
    this.#lines = [];
  }

  #erasing(): string {
    return this.#lines.map(() => ERASE).join(UP);
  }
}

/** A stage of a job, since it began here: what an earlier process has done is no part of the rate. */
interface Stage {
  readonly started: number;
  readonly before: number;
  latest: Progress;
}

/** The way to show how far getting a model is: a bar a stage on a terminal, the stage that goes on elsewhere. */
export function stageProgress(line: ProgressLine): (progress: Progress) => void {
  const stages = new Map<Progress["stage"], Stage>();
  return (progress) => {
    const { stage, bytes, total } = progress;
    const known = stages.get(stage);
    if (known) known.latest = progress;
    else stages.set(stage, { started: performance.now(), before: bytes, latest: progress });
    const shown = [...stages.values()].filter(({ latest }) => line.isTerminal || latest.stage === stage);
    line.update(() => shown.map(line.isTerminal ? barOf : sentenceOf).join("\n"), bytes === total);
  };
}

const STAGE_WORDS: Readonly<Record<Progress["stage"], string>> = {
  download: "downloading",
  convert: "converting",
  quantize: "quantising",
};
const BAR_WIDTH = 20;

/** E.g. "downloading [#########-----------]  45 %, 6.10 GB of 13.5 GB, 38.2 MB/s, 3 min left". */
function barOf(stage: Stage): string {
  const full = Math.floor(BAR_WIDTH * partOf(stage));
  const bar = "#".repeat(full) + "-".repeat(BAR_WIDTH - full);
  return `${STAGE_WORDS[stage.latest.stage].padEnd(11)} [${bar}] ${describeStage(stage)}`;
}

function sentenceOf(stage: Stage): string {
  return `${STAGE_WORDS[stage.latest.stage]}: ${describeStage(stage)}`;
}

function partOf({ latest: { bytes, total } }: Stage): number {
  return total === 0 ? 1 : bytes / total;
}

function describeStage(stage: Stage): string {
  const { started, before, latest } = stage;
  const { bytes, total } = latest;
  const parts = [`${Math.floor(100 * partOf(stage))} %`, `${formatBytes(bytes)} of ${formatBytes(total)}`];
  const seconds = (performance.now() - started) / 1000;
  const rate = (bytes - before) / seconds;
  if (rate > 0 && Number.isFinite(rate)) {
    parts.push(`${formatBytes(rate)}/s`);
    if (bytes < total) parts.push(`${formatDuration((total - bytes) / rate)} left`);
  }
  return parts.join(", ");
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
