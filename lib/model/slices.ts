/** Long work in slices, so that the host's event loop goes on in between. */
import { setImmediate } from "node:timers/promises";

const SLICE_MILLISECONDS = 5;

export class Slices {
  #start = performance.now();

  /** Whether the work has held up the event loop for long enough. */
  get isOver(): boolean {
    return performance.now() - this.#start > SLICE_MILLISECONDS;
  }

  /** Lets everything else that is due have its turn. */
  async pause(): Promise<void> {
    await setImmediate();
    this.#start = performance.now();
  }
}
