/** One call at a time per model, in the order they came; aborted while waiting, drained on close. */
import { ScoreheadError } from "../errors.ts";

/** Asked between two micro-batches: throws where the call has to stop. */
export type Checkpoint = () => void;

export class Queue {
  #tail: Promise<unknown> = Promise.resolve();
  #closed = false;

  get closed(): boolean {
    return this.#closed;
  }

  /** @throws ERR_CLOSED after {@link close} */
  checkOpen(): void {
    if (this.#closed) throw new ScoreheadError("ERR_CLOSED", "The model is closed. Load it again to go on scoring.");
  }

  /**
   * Runs `task` after the tasks before it. The task calls its argument between micro-batches.
   * @throws (rejects) ERR_CLOSED once the queue is closed, ERR_ABORTED once the signal is aborted
   */
  async run<Result>(task: (proceed: Checkpoint) => Promise<Result>, signal: AbortSignal | undefined): Promise<Result> {
    const proceed = (): void => {
      this.checkOpen();
      if (signal?.aborted)
        throw new ScoreheadError("ERR_ABORTED", "The call was aborted by its signal.", signal.reason);
    };
    proceed();
    const turn = this.#tail.then(() => {
      proceed();
      return task(proceed);
    });
    this.#tail = turn.catch(() => {});
    return turn;
  }

  /** Refuses new calls, lets the running micro-batch end, and resolves when nothing runs any more. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#tail;
  }
}
