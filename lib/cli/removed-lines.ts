/** What was removed from the cache of converted models, for people. */
import type { RemovedModel } from "../index.ts";
import { formatBytes, tableLines } from "./format.ts";

const REASONS: Readonly<Record<RemovedModel["reason"], string>> = {
  asked: "",
  old: "of an older version of scorehead",
  superseded: "its revision means another commit now",
  changed: "made of a file that has changed or is gone",
  interrupted: "left by an interrupted conversion",
};

/** @param done ends the last line, e.g. "1.2 GB removed" */
export function removedLines(removed: readonly RemovedModel[], done: string): string[] {
  const total = removed.reduce((sum, { bytes }) => sum + bytes, 0);
  const rows = removed.map(({ name, type, reason, bytes, path }) => [
    name ?? "(no record)",
    type ?? "",
    formatBytes(bytes),
    REASONS[reason],
    path,
  ]);
  return [...tableLines(rows), `${formatBytes(total)} ${done}`];
}
