/** What the hub room deals in: names, revisions, files and snapshots of model repositories. */

/** `owner/name[@revision][:type]`, taken apart. */
export interface HubName {
  /** `owner/name` */
  readonly repository: string;
  /** Branch, tag or commit; `main` where none was named. */
  readonly revision: string;
  /** The word after the colon, as written, or null: what it means is the caller's affair. */
  readonly type: string | null;
}

/** What every function that may use the network takes. */
export interface HubOptions {
  /** Never use the network. Default: whether the variable HF_HUB_OFFLINE says so. */
  readonly offline?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Told what the user should know but nothing has to be done about, e.g. that another process is waited for. */
  readonly onWarning?: ((message: string) => void) | undefined;
  /** Milliseconds before a failed request is made again; doubles from one try to the next. Default 500. */
  readonly retryDelay?: number | undefined;
}

/** A revision and the commit that it means. */
export interface Revision {
  readonly repository: string;
  readonly revision: string;
  /** 40 hexadecimal digits. */
  readonly commit: string;
  /** Whether the hub said so; otherwise the cache remembers it from an earlier time. */
  readonly online: boolean;
}

/** The weights come in one of these; a GGUF file is used as it is. */
export type WeightsKind = "gguf" | "safetensors" | "torch";

export interface HubFile {
  /** Inside the repository, with `/`; checked to stay inside. */
  readonly path: string;
  readonly size: number;
  /** The name of its blob in the cache: the SHA-256 of a large file, the git object id of a small one. */
  readonly etag: string;
  /** Whether it holds tensors (weights, GGUF) and not settings. */
  readonly weights: boolean;
}

/** The files of one commit that are needed, cached or not. */
export interface Snapshot extends Revision {
  /** Where the files are, each under its path, as soon as they are cached. */
  readonly directory: string;
  /** Settings first, then weights in the order of their index. */
  readonly files: readonly HubFile[];
  /** Null where only a tokenizer was asked for. */
  readonly kind: WeightsKind | null;
}

/** How far a download is; `total` counts what was not in the cache when it began. */
export interface DownloadProgress {
  readonly stage: "download";
  readonly bytes: number;
  readonly total: number;
}

/** Where the hub is, who asks, and how patiently. */
export interface Hub extends Pick<HubOptions, "signal" | "onWarning"> {
  readonly endpoint: string;
  readonly token: string | null;
  /** The longest time without a byte, in milliseconds. */
  readonly stallTimeout: number;
  readonly firstDelay: number;
  readonly tries: number;
}

/** What a request is about, for the words of its errors. */
export interface Subject {
  readonly repository: string;
  readonly revision: string;
  readonly path?: string;
}
