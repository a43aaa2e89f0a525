/** The public surface of scorehead. */

export { type AttachOptions, type AttachResult, attach } from "./attach/attach.ts";
export type { HeadOptions } from "./attach/scorable.ts";
export { OUTPUT_TYPES } from "./convert/file-type.ts";
export type { ConvertPlan } from "./convert/plan.ts";
export type { PlannedTensor } from "./convert/plan-tensors.ts";
export { type QuantizeOptions, quantize } from "./convert/quantize.ts";
export { TENSOR_TYPES, type TensorType, type TensorTypes } from "./convert/tensor-types.ts";

export type { OutputType } from "./convert/types.ts";
export { ERROR_CODES, type ErrorCode, type Fault, isScoreheadError, ScoreheadError } from "./errors.ts";
export type { Agreement } from "./head/agreement.ts";
export { scoreMeaning } from "./head/meaning.ts";
export type { ScoreModelOutput, Tensor } from "./head/output.ts";
export { isReadPosition, READ_POSITION_WORDS } from "./head/read-position.ts";
export { type HeadReport, headReport } from "./head/report.ts";
export {
  type HeadKind,
  READ_POSITIONS,
  type ReadPosition,
  SCORE_TYPES,
  type ScoreType,
  type TruncationSide,
} from "./head/types.ts";
export { ACCEL_CHOICES, type AccelChoice } from "./model/acceleration.ts";
export { type DoctorModel, type DoctorReport, doctor } from "./model/doctor.ts";
export type { AccelStats, ModelInfo } from "./model/engine.ts";
export {
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
export {
  type MeasuredFile,
  type QuantizedReport,
  type QuantizeReport,
  type QuantizeReportOptions,
  type QuantizeReportProgress,
  quantizeReport,
} from "./model/quantize-report.ts";
export type { Ranked, Weights } from "./model/rank.ts";
export type { RankResult } from "./model/rank-stream.ts";
export { type ModelStats, ScoreModel } from "./model/score-model.ts";
export type { StreamResult } from "./model/stream.ts";
export type { Problem } from "./problems.ts";
export { PROFILE_NAMES } from "./prompt/profiles.ts";
export type { ConversationInput, Message } from "./prompt/types.ts";
export { version } from "./runtime/addon.ts";
export { BUILD_KINDS, type BuildRuntimeOptions, type BuiltRuntime, buildRuntime } from "./runtime/build.ts";
export { DEVICE_CHOICES, type DeviceChoice } from "./runtime/open.ts";
export { QUANTIZED_TYPES, type QuantizedType } from "./runtime/quantize.ts";
export { type ConvertOptions, convert, planCheckpoint } from "./source/convert.ts";
export {
  type CachedModel,
  listModels,
  type PruneOptions,
  pruneModels,
  type RemovedModel,
  removeModel,
} from "./source/manage.ts";
export type { DownloadPlan, Progress } from "./source/types.ts";
