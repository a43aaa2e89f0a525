/**
 * The one error class of the package and the closed list of its codes. Every error that reaches a user is a
 * {@link ScoreheadError}: a code to branch on, the reason with its numbers and names, and the remedy.
 */

/** Whose move it is: the caller's (arguments, texts), the file's, the machine's, or ours. */
export type Fault = "caller" | "file" | "machine" | "scorehead";

interface CodeEntry {
  /** What the code means, in one line. */
  readonly meaning: string;
  readonly fault: Fault;
  /** Whether the same call can succeed later without anything being changed. */
  readonly retry: boolean;
}

/** The closed list: a code is added here or it does not exist. */
export const ERROR_CODES = {
  ERR_ARGUMENT: { meaning: "An argument or option has the wrong type or value", fault: "caller", retry: false },
  ERR_TEXT: { meaning: "A text is not well-formed Unicode", fault: "caller", retry: false },
  ERR_TOKEN: { meaning: "A token id is outside the model's vocabulary", fault: "caller", retry: false },
  ERR_INPUT_TOO_LONG: {
    meaning: "An input has more tokens than the model or context takes",
    fault: "caller",
    retry: false,
  },
  ERR_TEMPLATE: { meaning: "The conversation does not fit the profile's template", fault: "caller", retry: false },
  ERR_CLOSED: { meaning: "The model is closed", fault: "caller", retry: false },
  ERR_ABORTED: { meaning: "The call was aborted by its signal", fault: "caller", retry: true },
  ERR_NOT_FOUND: { meaning: "A named file, directory or model does not exist", fault: "caller", retry: false },
  ERR_CHECKPOINT: {
    meaning: "The checkpoint directory is incomplete or contradicts itself",
    fault: "file",
    retry: false,
  },
  ERR_CONFIG: { meaning: "A checkpoint's config is missing, malformed or contradictory", fault: "file", retry: false },
  ERR_SAFETENSORS: { meaning: "A safetensors file is malformed", fault: "file", retry: false },
  ERR_ZIP: { meaning: "A torch zip archive is malformed", fault: "file", retry: false },
  ERR_PICKLE: {
    meaning: "A pickle is malformed or asks for something outside the allow-list",
    fault: "file",
    retry: false,
  },
  ERR_TOKENIZER: { meaning: "A tokenizer is missing, malformed or of an unknown kind", fault: "file", retry: false },
  ERR_TENSOR: { meaning: "A tensor is missing, unmapped, or has the wrong shape or type", fault: "file", retry: false },
  ERR_UNSUPPORTED: { meaning: "The architecture, head or setting is not supported", fault: "file", retry: false },
  ERR_HEAD: { meaning: "The score head is malformed or does not fit the backbone", fault: "file", retry: false },
  ERR_GGUF: { meaning: "A GGUF file is malformed", fault: "file", retry: false },
  ERR_NO_HEAD: { meaning: "A GGUF file carries no score head", fault: "file", retry: false },
  ERR_NEWER_VERSION: { meaning: "A GGUF file was written by a newer scorehead", fault: "file", retry: false },
  ERR_RUNTIME: {
    meaning: "The llama.cpp libraries or the addon cannot be found or opened",
    fault: "machine",
    retry: false,
  },
  ERR_RUNTIME_VERSION: {
    meaning: "The llama.cpp libraries are of another version than the addon",
    fault: "machine",
    retry: false,
  },
  ERR_RUNTIME_CONFLICT: {
    meaning: "Another copy of llama.cpp is already in this process",
    fault: "machine",
    retry: false,
  },
  ERR_DEVICE: { meaning: "The device asked for is not there", fault: "machine", retry: false },
  ERR_MEMORY: { meaning: "The machine does not have the memory that the job needs", fault: "machine", retry: true },
  ERR_OFFLINE: {
    meaning: "The network may not be used, and the cache does not have what is needed",
    fault: "caller",
    retry: false,
  },
  ERR_NETWORK: { meaning: "The hub cannot be reached or keeps failing", fault: "machine", retry: true },
  ERR_HUB_ACCESS: {
    meaning: "The hub does not give this user the repository: it is gated or private, or the token is wrong",
    fault: "caller",
    retry: false,
  },
  ERR_HUB: {
    meaning: "The hub's answer is malformed or names files outside the repository",
    fault: "file",
    retry: false,
  },
  ERR_CHECKSUM: { meaning: "What was downloaded is not what the hub lists", fault: "file", retry: true },
  ERR_DISK_SPACE: { meaning: "The disk does not have the room that the job needs", fault: "machine", retry: true },
  ERR_IO: { meaning: "Reading or writing a file failed", fault: "machine", retry: true },
  ERR_LOAD: { meaning: "llama.cpp refused to load the model", fault: "file", retry: false },
  ERR_QUANTIZE: { meaning: "llama.cpp's quantiser failed", fault: "file", retry: false },
  ERR_DECODE: { meaning: "llama.cpp failed to compute a batch", fault: "machine", retry: true },
  ERR_NON_FINITE: { meaning: "A hidden state or score is NaN or infinite", fault: "file", retry: false },
  ERR_BUILD: { meaning: "Building the llama.cpp libraries from source failed", fault: "machine", retry: true },
  ERR_INTERNAL: {
    meaning: "A rule inside scorehead was broken: a bug worth reporting",
    fault: "scorehead",
    retry: false,
  },
} as const satisfies Record<string, CodeEntry>;

export type ErrorCode = keyof typeof ERROR_CODES;

/** An error of this package: `message` holds the reason and the remedy, `code` is one of {@link ERROR_CODES}. */
export class ScoreheadError extends Error {
  override readonly name = "ScoreheadError";
  readonly code: ErrorCode;

  /**
   * @param code one of the closed list
   * @param message what is wrong, with names and numbers, then what to do about it
   * @param cause the error underneath, if any
   */
  constructor(code: ErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
  }
}

/** Whether `value` is a {@link ScoreheadError}, of `code` where one is given. */
export function isScoreheadError(value: unknown, code?: ErrorCode): value is ScoreheadError {
  return value instanceof ScoreheadError && (code === undefined || value.code === code);
}

/** A file-system error as a {@link ScoreheadError}: `ENOENT` is ERR_NOT_FOUND, everything else ERR_IO. */
export function ioError(action: string, path: string, cause: unknown): ScoreheadError {
  if (cause instanceof ScoreheadError) return cause;
  const { code, message } = cause as NodeJS.ErrnoException;
  if (code === "ENOENT")
    return new ScoreheadError("ERR_NOT_FOUND", `Cannot ${action} ${path}: it does not exist.`, cause);
  return new ScoreheadError("ERR_IO", `Cannot ${action} ${path}: ${message}.`, cause);
}
