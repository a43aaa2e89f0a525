/**
 * The border between TypeScript and the addon: every native function, typed once. `native/binding/addon.cc` exports
 * exactly these names (scripts/check-exports proves it). Flat typed arrays cross, copied in before work is queued and
 * copied out. Errors come as `Error` with a `code` of lib/errors.ts.
 */

declare const handleTag: unique symbol;
/** A loaded model. Not to be used after `closeModel`. */
export interface ModelHandle {
  readonly [handleTag]: true;
}

/** Absolute paths of one llama.cpp build. */
export interface LibrarySet {
  readonly base: string;
  readonly ggml: string;
  readonly llama: string;
  /** The folder whose CPU and GPU backends are loaded. */
  readonly backendDirectory: string;
  /** The release that the addon's headers come from, e.g. "0.5.0". */
  readonly release: string;
}

export interface NativeDevice {
  readonly name: string;
  readonly description: string;
  /** "CPU", "CUDA", "Vulkan", "Metal", … */
  readonly backend: string;
  readonly kind: "cpu" | "gpu" | "igpu" | "accel";
  readonly freeBytes: number;
  readonly totalBytes: number;
}

export interface OpenModelOptions {
  readonly path: string;
  /** Device names; empty: the CPU alone. */
  readonly devices: readonly string[];
  /** Layers kept on the devices; -1: all. */
  readonly gpuLayers: number;
  /** Index of the one device to use; -1: all of them, by layers. */
  readonly mainGpu: number;
  /** Shares of the devices; empty: by their free memory. */
  readonly tensorSplit: Float32Array;
  /** Integer keys of the file that are taken to have other values. */
  readonly overrideKeys: readonly string[];
  /** One a key. */
  readonly overrideValues: Int32Array;
  /** Cells of the KV cache. */
  readonly contextTokens: number;
  /** The most tokens of one batch. */
  readonly batchTokens: number;
  /** The most outputs of one batch. */
  readonly maxOutputs: number;
  readonly threads: number;
  /** Compute with scorehead's own kernels; only where there are no devices and {@link NativeAddon.loadAccelerator} found some. */
  readonly accel: boolean;
  /** F32 cache and exact attention, else F16. */
  readonly kvF32: boolean;
  readonly head: NativeNetwork;
  /** Computed for the outputs that ask for it; without layers: there is none. */
  readonly gate: NativeNetwork;
}

/** Linear layers, each taking what the one before it puts out. */
export interface NativeNetwork {
  readonly layers: readonly NativeLayer[];
  /** Between two layers. */
  readonly activation: "relu" | "tanh";
}

export interface NativeLayer {
  readonly outputs: number;
  readonly inputs: number;
  /** Row-major `[outputs, inputs]`. */
  readonly weight: Float32Array;
  /** `[outputs]`, or empty. */
  readonly bias: Float32Array;
}

export interface OpenedModel {
  readonly handle: ModelHandle;
  /** Cells of the KV cache as llama.cpp rounded them. */
  readonly contextTokens: number;
  /** Sequence ids are 0 to this, exclusive; {@link MAX_SEQUENCES} at most. */
  readonly sequences: number;
}

/** What a token of a batch is wanted for: 0, or a sum of these with `score` among them. */
export const OUTPUT = { score: 1, hidden: 2, gate: 4 } as const;

/**
 * Kinds of memory operations; each is five integers: kind, sequence, from, to, argument. Positions are [from, to), -1: from
 * the start, to the end. `remove` of sequence -1 clears all; `shift` adds its argument to the positions; `copy` lets the
 * sequence of its argument share the cells.
 */
export const MEMORY_OP = { remove: 0, shift: 1, copy: 2 } as const;

/** Sequence ids are 0 to 255, whatever the context (llama.cpp's LLAMA_MAX_SEQ); with sliding windows there are fewer. */
export const MAX_SEQUENCES = 256;

/** One micro-batch, computed in one go. */
export interface NativeBatch {
  /** Changes to the KV cache before the batch, see {@link MEMORY_OP}. */
  readonly memory: Int32Array;
  readonly tokens: Int32Array;
  /** One a token. */
  readonly positions: Int32Array;
  /** The sequence ids of all tokens, one after the other. */
  readonly sequences: Int32Array;
  /** Tokens + 1 offsets into `sequences`. */
  readonly sequenceOffsets: Int32Array;
  /** {@link OUTPUT}s of each token. */
  readonly outputs: Uint8Array;
  /** Pairs of a token's index and a sequence: the keys that the token sees are remembered under the sequence. */
  readonly remember: Int32Array;
  /** Pairs of a token's index and a sequence: the token sees only the keys remembered there, not even itself. */
  readonly recall: Int32Array;
}

export interface NativeBatchResult {
  /** `[tokens with an output, head outputs]`, in token order. */
  readonly scores: Float32Array;
  /** `[tokens with OUTPUT.hidden, hidden size]`, in token order. */
  readonly hidden: Float32Array;
  /** `[tokens with OUTPUT.gate, gate outputs]`, in token order. */
  readonly gates: Float32Array;
  /** The first output with a NaN or infinity, and then there are no numbers at all; -1: all are finite. */
  readonly nonFinite: number;
  /** Graph nodes that llama.cpp went on to after the final norm; 0: the vocabulary matmul was skipped. */
  readonly nodesAfterNorm: number;
  /** Weight products and attentions that scorehead's own kernels computed. */
  readonly products: number;
  readonly attentions: number;
}

export interface QuantizeOptions {
  readonly input: string;
  readonly output: string;
  /** A `llama_ftype`. */
  readonly fileType: number;
  /** Regular expressions for names of tensors; the first that is found in a name decides. */
  readonly tensorPatterns: readonly string[];
  /** A `ggml_type` for each of them. */
  readonly tensorTypes: Int32Array;
  readonly threads: number;
}

export interface QuantizedTensor {
  /** The ggml type's number. */
  readonly type: number;
  /** Whole blocks of that type. */
  readonly bytes: Uint8Array;
  readonly elements: number;
}

export interface NativeAddon {
  /** Opens the libraries, once for the process. Returns the version they report. */
  openLibraries(libraries: LibrarySet): string;
  /** Loads one more backend; 0 devices and the reason where it is of no use here. */
  loadBackend(path: string): { readonly devices: number; readonly reason: string };
  /** Loads scorehead's own kernels, once for the process; null and the reason where none fit this processor. */
  loadAccelerator(path: string): { readonly kernels: string | null; readonly reason: string };
  devices(): NativeDevice[];
  cpuFeatures(): string[];
  /** Receives llama.cpp's log of the whole process; null: silence. */
  setLog(callback: ((level: string, text: string) => void) | null): void;
  openModel(options: OpenModelOptions): Promise<OpenedModel>;
  /** Sub-word ids of the text as it is: no prefix, no special tokens. */
  tokenize(model: ModelHandle, text: string): Int32Array;
  /** Batches of one model are computed in the order of the calls. After an error, clear the memory first. */
  decode(model: ModelHandle, batch: NativeBatch): Promise<NativeBatchResult>;
  /** Frees the model after the batches asked for before. */
  closeModel(model: ModelHandle): Promise<void>;
  quantize(options: QuantizeOptions): Promise<void>;
  /** A tensor's elements as float32. */
  dequantize(tensor: QuantizedTensor): Float32Array;
  /** Takes the exclusive lock on an open file, without waiting; it ends with the file or the process. */
  lockFile(fd: number): "taken" | "busy" | "unsupported";
  /** Ends what this thread's models compute and frees them. Waits for a running quantisation. */
  shutDown(): void;
}
