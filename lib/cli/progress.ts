/** How far a conversion is, on stderr: one line that is rewritten on a terminal, a line now and then elsewhere. */
import type { ConvertProgress } from "../index.ts";
import { formatBytes } from "./format.ts";

const TERMINAL_INTERVAL_MS = 100;
const LOG_INTERVAL_MS = 10_000;

export class ProgressLine {
  readonly #terminal = process.stderr.isTTY === true;
  #stage: ConvertProgress["stage"] | undefined;
  #started = 0;
  #shown = 0;

  /** Shows progress where the last showing is long enough ago. */
  update(progress: ConvertProgress): void {
    const now = performance.now();
    if (progress.stage !== this.#stage) {
      this.#stage = progress.stage;
      this.#started = now;
      this.#shown = now;
    }
    const finished = this.#terminal && progress.done === progress.total;
    if (!finished && now - this.#shown < (this.#terminal ? TERMINAL_INTERVAL_MS : LOG_INTERVAL_MS)) return;
    this.#shown = now;
    const text = describe(progress, (now - this.#started) / 1000);
    process.stderr.write(this.#terminal ? `\r\x1b[K${text}` : `${text}\n`);
  }

  /** Removes the line from a terminal. */
  end(): void {
    if (this.#terminal) process.stderr.write("\r\x1b[K");
  }
}

function describe({ stage, done, total }: ConvertProgress, seconds: number): string {
  const percent = `${total === 0 ? 100 : Math.floor((100 * done) / total)} %`;
  if (stage === "quantize") return `quantising: ${percent}, tensor ${done} of ${total}`;
  const rate = seconds > 0 ? `, ${formatBytes(done / seconds)}/s` : "";
  return `writing: ${percent}, ${formatBytes(done)} of ${formatBytes(total)}${rate}`;
}
