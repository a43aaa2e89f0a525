/** The public surface of scorehead. */
export type { ConvertOptions, ConvertProgress, OutputType } from "./convert/run.ts";
export { convert, planCheckpoint, quantize } from "./convert/run.ts";
export { ERROR_CODES, type ErrorCode, type Fault, isScoreheadError, ScoreheadError } from "./errors.ts";
export { scoreMeaning } from "./head/meaning.ts";
export type { ScoreModelOutput, Tensor } from "./head/output.ts";
export type { ReadPosition, ScoreType, TruncationSide } from "./head/types.ts";
export type { LoadOptions, LogListener, ScoreInput, ScoreOptions } from "./model/options.ts";
export { type ModelInfo, ScoreModel } from "./model/score-model.ts";
export type { ConversationInput, Message } from "./prompt/types.ts";
export type { DeviceChoice } from "./runtime/open.ts";
