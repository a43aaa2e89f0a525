/** One process works, the others wait: locks that the operating system ends with the process that holds them. */
import { type FileHandle, mkdir, open, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { checkAborted } from "../abort.ts";
import { ioError } from "../errors.ts";
import { addon } from "../runtime/addon.ts";

/** Milliseconds between two looks, from one to the next. */
const FIRST_PAUSE = 10;
const LONGEST_PAUSE = 250;

export interface LockOptions {
  readonly signal?: AbortSignal | undefined;
  /** Called once where the lock has to be waited for, unless that is for a moment only. */
  readonly onWait?: (() => void) | undefined;
}

/**
 * Runs `job` while holding the lock file at `path`, which is made where it is missing and stays there.
 *
 * Waits while another process, or another call of this one, holds it. Tools that use Python's `filelock` wait for each
 * other and for this in the same way.
 * @param job is told whether the lock holds: some network file systems have none
 * @throws ERR_IO, ERR_ABORTED, and what `job` throws
 */
export async function withLock<Result>(
  path: string,
  { signal, onWait }: LockOptions,
  job: (exclusive: boolean) => Promise<Result>,
): Promise<Result> {
  for (let pause = FIRST_PAUSE; ; pause = Math.min(2 * pause, LONGEST_PAUSE)) {
    checkAborted(signal);
    const handle = await openLock(path);
    try {
      const state = addon().lockFile(handle.fd);
      if (state === "unsupported") return await job(false);
      if (state === "taken" && (await isStillAt(handle, path))) return await job(true);
    } finally {
      await handle.close();
    }
    if (pause === FIRST_PAUSE * 2 ** 4) onWait?.();
    await sleep(pause, undefined, signal && { signal }).catch(() => checkAborted(signal));
  }
}

async function openLock(path: string): Promise<FileHandle> {
  try {
    await mkdir(dirname(path), { recursive: true });
    return await open(path, "a+");
  } catch (cause) {
    throw ioError("open the lock", path, cause);
  }
}

/** Whether the locked file has not been removed meanwhile: the others would lock the new one. */
async function isStillAt(handle: FileHandle, path: string): Promise<boolean> {
  const [own, current] = await Promise.all([
    handle.stat({ bigint: true }),
    stat(path, { bigint: true }).catch(() => null),
  ]);
  return own.ino === current?.ino && own.dev === current.dev;
}
