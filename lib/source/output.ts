/** A file that the user named, as the place of a conversion that may be interrupted and gone on with. */
import { readdir, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { withLock } from "../hub/lock.ts";
import { requireReplaceable } from "../replace-file.ts";
import type { Workplace } from "./ready.ts";
import type { SourceOptions } from "./types.ts";

/** Runs `job` for the file at `output`, one process at a time, without what ended processes have left beside it. */
export async function withOutput<Result>(
  output: string,
  { signal, onWarning }: SourceOptions,
  job: (work: Workplace) => Promise<Result>,
): Promise<Result> {
  const beside = (ending: string): string => join(dirname(output), `.${basename(output)}.${ending}`);
  const onWait = (): void => onWarning?.(`Another process is writing ${output}: waiting for it.`);
  await requireReplaceable(output);
  return withLock(beside("lock"), { signal, onWait }, async (exclusive) => {
    try {
      if (exclusive) await removeDead(output);
      return await job({ output, partial: beside("partial"), exclusive });
    } finally {
      // Those who wait see that it is gone, and take a new one.
      await rm(beside("lock"), { force: true });
    }
  });
}

/** Removes the temporary files (see replace-file.ts) of processes that run no more: not all writers take the lock. */
async function removeDead(output: string): Promise<void> {
  const prefix = `.${basename(output)}.`;
  for (const name of await readdir(dirname(output))) {
    const [, pid] =
      /^(\d+)\.[0-9a-f]{12}(?:\.base)?\.tmp$/.exec(name.startsWith(prefix) ? name.slice(prefix.length) : "") ?? [];
    if (pid !== undefined && !isRunning(Number(pid))) await rm(join(dirname(output), name), { force: true });
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // Any other reason, such as another user's process, is no proof.
    return (error as NodeJS.ErrnoException).code !== "ESRCH";
  }
}
