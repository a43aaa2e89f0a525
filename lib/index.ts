/** The public surface of scorehead. */
export type { ConvertPlan } from "./convert/plan.ts";
export type { PlannedTensor } from "./convert/plan-tensors.ts";
export {
  type ConvertOptions,
  type ConvertProgress,
  convert,
  OUTPUT_TYPES,
  type OutputType,
  planCheckpoint,
  type QuantizeOptions,
  quantize,
} from "./convert/run.ts";
export { ERROR_CODES, type ErrorCode, type Fault, isScoreheadError, ScoreheadError } from "./errors.ts";
export { scoreMeaning } from "./head/meaning.ts";
export type { ScoreModelOutput, Tensor } from "./head/output.ts";
export { READ_POSITIONS, type ReadPosition, type ScoreType, type TruncationSide } from "./head/types.ts";
export { type DoctorModel, type DoctorReport, doctor } from "./model/doctor.ts";
export type { ModelInfo } from "./model/engine.ts";
export {
  type HeadReport,
  type InspectOptions,
  type InspectReport,
  inspect,
  type TokenizerReport,
} from "./model/inspect.ts";
export type {
  DoctorOptions,
  LoadOptions,
  LogListener,
  RankInput,
  RankOptions,
  RankStreamOptions,
  ScoreInput,
  ScoreOptions,
  StreamInput,
  StreamOptions,
} from "./model/options.ts";
export type { Ranked, Weights } from "./model/rank.ts";
export type { RankResult } from "./model/rank-stream.ts";
export type { ModelStats } from "./model/scheduler.ts";
export { ScoreModel } from "./model/score-model.ts";
export type { StreamResult } from "./model/stream.ts";
export type { Problem } from "./problems.ts";
export { PROFILE_NAMES } from "./prompt/profiles.ts";
export type { ConversationInput, Message } from "./prompt/types.ts";
export { version } from "./runtime/addon.ts";
export { BUILD_KINDS, type BuildRuntimeOptions, type BuiltRuntime, buildRuntime } from "./runtime/build.ts";
export { DEVICE_CHOICES, type DeviceChoice } from "./runtime/open.ts";
export { QUANTIZED_TYPES, type QuantizedType } from "./runtime/quantize.ts";
