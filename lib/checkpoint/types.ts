/** What a published checkpoint directory offers: its config, its tensors as byte ranges, its tokenizer. */
import type { TokenizerRules } from "../tokens/types.ts";

/** Element types found in checkpoints, by safetensors' names. */
export type CheckpointDtype = "F64" | "F32" | "F16" | "BF16" | "I64" | "I32" | "I16" | "I8" | "U8" | "BOOL";

/** Bytes an element of each type. */
export const DTYPE_BYTES: Readonly<Record<CheckpointDtype, number>> = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
};

/** A contiguous, row-major, little-endian tensor: a byte range of a file. Nothing is read until it is asked for. */
export interface CheckpointTensor {
  readonly name: string;
  readonly dtype: CheckpointDtype;
  /** torch order: `[out, in]` for a linear layer. */
  readonly shape: readonly number[];
  readonly file: string;
  readonly offset: number;
  readonly byteLength: number;
}

/** What readers use of Node's FileHandle, so that a file may also lie elsewhere than on a disk. */
export interface ByteReader {
  read(buffer: Buffer, offset: number, length: number, position: number): Promise<{ readonly bytesRead: number }>;
}

/** Where the files of a checkpoint are: on a disk, or still on the hub. */
export interface CheckpointFiles {
  /** The names of a directory's files. @throws ERR_CHECKPOINT where it is a file, ERR_NOT_FOUND, ERR_IO */
  list(directory: string): Promise<readonly string[]>;
  /** The same for two paths of one file, and null where there is none. @throws ERR_IO */
  identity(path: string): Promise<string | null>;
  /** Runs `use` with the file open and its size known. @throws ERR_NOT_FOUND, ERR_IO, and what `use` throws */
  open<Result>(path: string, use: (reader: ByteReader, size: number) => Promise<Result>): Promise<Result>;
}

/** A JSON object as parsed. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** What converting needs of a tokenizer: SentencePiece-style BPE with byte fallback, or byte-level BPE. */
export interface CheckpointTokenizer extends Omit<TokenizerRules, "vocabularySize"> {
  /** The file it came from: `tokenizer.json` or `tokenizer.model`. */
  readonly file: string;
  /** Token texts by id; ids are dense. */
  readonly tokens: readonly string[];
  /**
   * Merge priority by id, higher first: -(rank of the first merge that produces the token), or the SentencePiece model's
   * own score; 0 for bytes and specials. A character, which no merge produces, has a score that nothing looks at. All 0
   * in a byte-level vocabulary.
   */
  readonly scores: Float32Array;
  /** Of a byte-level vocabulary: `"left right"`, best first. Else empty: the scores say it all. */
  readonly merges: readonly string[];
  /** What each id is. */
  readonly kinds: readonly TokenKind[];
  /** The Jinja chat template, kept as it is. */
  readonly chatTemplate: string | null;
}

export type TokenKind = "normal" | "unknown" | "control" | "user" | "byte";

/** A checkpoint directory, opened and checked. */
export interface Checkpoint {
  readonly directory: string;
  /** config.json; null where the checkpoint has none of its own. */
  readonly config: JsonObject | null;
  /** By name. Aliases of one storage appear under each of their names. */
  readonly tensors: ReadonlyMap<string, CheckpointTensor>;
  /** Where the tensors' bytes are read. */
  readonly files: CheckpointFiles;
}
