/** What the benchmark asks of an engine, and how an engine's process answers. */
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

/** Runs a workload once; null: the engine cannot do it. */
export type RunWorkload = (workload: Workload) => Promise<{ readonly reused: number } | null>;
/** Loads the model. */
export type StartEngine = (options: EngineOptions) => Promise<RunWorkload>;
