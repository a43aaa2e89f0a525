/** What is asked of a model's source, and what it tells while the model is made ready. */
import type { ConvertProgress, OutputType } from "../convert/types.ts";
import type { DownloadProgress } from "../hub/types.ts";

/** How far a job is, in bytes: `download`, then `convert`, then `quantize`; the first two overlap. */
export type Progress = DownloadProgress | ConvertProgress;

/** What getting a model from the hub will take, told before it begins. */
export interface DownloadPlan {
  /** `owner/name` */
  readonly repository: string;
  /** The commit that the revision means. */
  readonly commit: string;
  /** Bytes that are not there yet. */
  readonly downloadBytes: number;
  /** Bytes of the file to be loaded; an upper bound, close to it. */
  readonly resultBytes: number;
  /** The most bytes that will be on disk at once beside what is there now; an upper bound. */
  readonly peakBytes: number;
  /** Whether downloads stay in the hub cache; else each weight file goes as soon as it is converted. */
  readonly keepDownloads: boolean;
}

/** Options of everything that takes a checkpoint by directory or name. */
export interface SourceOptions {
  /** For a checkpoint without tokenizer or config of its own: the base model's directory or `owner/name`. */
  readonly tokenizer?: string | undefined;
  /** Profile to use instead of the file's own, or of the one found by a checkpoint's name or architecture. */
  readonly profile?: string | undefined;
  /** Never use the network. Default: whether the variable HF_HUB_OFFLINE says so. */
  readonly offline?: boolean | undefined;
  /** Whether downloads stay in the hub cache. Default: where the disk holds everything at once. */
  readonly keepDownloads?: boolean | undefined;
  /** Receives warnings, e.g. an assumption made while converting. */
  readonly onWarning?: ((message: string) => void) | undefined;
  /** Told what a download will take, before it begins. */
  readonly onPlan?: ((plan: DownloadPlan) => void) | undefined;
  /** Receives how far downloading and converting are, if that has to be done. */
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  /** Stops downloading, converting or loading. What was downloaded is kept. */
  readonly signal?: AbortSignal | undefined;
}

/** A model on the hub, and what it is to be converted to. */
export interface HubModel {
  /** `owner/name` */
  readonly repository: string;
  /** Branch, tag or commit. */
  readonly revision: string;
  /** The type that was asked for by name, or null. */
  readonly asked: OutputType | null;
}
