/** What the benchmark asks of an engine, and how an engine's process answers. */
import type { ChildProcess } from "node:child_process";
import { readFileSync } from "node:fs";
import type { Workload } from "./cases.ts";

export interface EngineOptions {
  readonly file: string;
  readonly threads: number;
  readonly device: string;
}

export interface Measurement {
  readonly seconds: number;
  /** Share of the tokens that were not computed again. */
  readonly reused: number;
  readonly peakMegabytes: number;
  /** Milliseconds, while computing. */
  readonly eventLoop: { readonly p99: number; readonly longest: number };
}

/** Runs a workload once; null: the engine cannot do it. `peakMegabytes` where a process of its own computes. */
export type RunWorkload = (
  workload: Workload,
) => Promise<{ readonly reused: number; readonly peakMegabytes?: number | undefined } | null>;
/** Loads the model. */
export type StartEngine = (options: EngineOptions) => Promise<RunWorkload>;

/** The most memory that a child process has had; undefined where the system does not tell. */
export function peakMegabytes({ pid }: ChildProcess): number | undefined {
  try {
    const peak = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    return peak === undefined ? undefined : Number(peak) / 1024;
  } catch {
    return undefined;
  }
}
