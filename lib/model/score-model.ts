/** The public class: a loaded reward or cost model. */
import { availableParallelism } from "node:os";
import { ScoreheadError } from "../errors.ts";
import { readGguf } from "../gguf/read.ts";
import type { GgufFile } from "../gguf/types.ts";
import { headFromMetadata } from "../head/metadata.ts";
import type { ScoreModelOutput } from "../head/output.ts";
import { defaultLabels, validateHead } from "../head/spec.ts";
import type { HeadSpec, ScoreType } from "../head/types.ts";
import { findProfile, PROFILE_NAMES } from "../prompt/profiles.ts";
import { subscribeLog } from "../runtime/log.ts";
import { nativeError, openRuntime, selectDevices } from "../runtime/open.ts";
import { resolveSource } from "../source/resolve.ts";
import { tokenizerRules } from "../tokens/metadata.ts";
import { BATCH_TOKENS, contextTokens, maxOutputs, readBackbone } from "./backbone.ts";
import {
  checkLoadOptions,
  checkScoreOptions,
  describe,
  type LoadOptions,
  type ScoreInput,
  type ScoreOptions,
} from "./options.ts";
import { type Engine, scoreInputs, toIds } from "./pipeline.ts";
import { Queue } from "./queue.ts";

/** Facts about a loaded model. */
export interface ModelInfo {
  /** The GGUF file in use. */
  readonly path: string;
  readonly profile: string;
  readonly type: ScoreType;
  readonly labels: readonly string[];
  readonly architecture: string;
  readonly hiddenSize: number;
  /** The most tokens of a text, by the profile or the checkpoint's config. */
  readonly maxLength: number;
  /** Cells of the KV cache. */
  readonly contextTokens: number;
  /** What it runs on, e.g. `cpu` or `vulkan (llvmpipe)`. */
  readonly device: string;
  readonly threads: number;
}

/**
 * A reward or cost model, loaded and ready to score.
 *
 * Calls may overlap; they are computed one after the other. The weights are freed by {@link close}, by `await using`,
 * or when the process or worker thread ends.
 */
export class ScoreModel {
  readonly info: ModelInfo;
  readonly #engine: Engine;
  readonly #queue = new Queue();
  readonly #unsubscribe: () => void;
  #freed: Promise<void> | undefined;

  private constructor(engine: Engine, info: ModelInfo, unsubscribe: () => void) {
    this.#engine = engine;
    this.info = info;
    this.#unsubscribe = unsubscribe;
  }

  /**
   * Loads a model.
   *
   * @param source a .gguf with a score head, or a published checkpoint's directory, which is converted into the cache
   *   the first time
   * @param options see {@link LoadOptions}
   * @returns the model, once its weights are there
   * @throws ERR_ARGUMENT, ERR_NOT_FOUND, ERR_GGUF, ERR_NO_HEAD, ERR_NEWER_VERSION, ERR_HEAD, ERR_RUNTIME, ERR_DEVICE,
   *   ERR_MEMORY, ERR_LOAD, and what converting throws
   */
  static async load(source: string, options?: LoadOptions): Promise<ScoreModel> {
    const checked = checkLoadOptions(options);
    if (typeof source !== "string" || source === "")
      throw new ScoreheadError("ERR_ARGUMENT", `The model has to be named by a path, not ${describe(source)}.`);
    const unsubscribe = subscribeLog(checked.onLog);
    try {
      const path = await resolveSource(source, checked);
      const file = await readGguf(path);
      const { engine, info } = await openEngine(file, checked);
      return new ScoreModel(engine, info, unsubscribe);
    } catch (error) {
      unsubscribe();
      throw error;
    }
  }

  /**
   * Scores one text or many.
   *
   * Each text gets the same result alone, in any batch and in any order, but for float rounding (about 1e-6 relative
   * with `kv: "f32"`, 1e-3 with the F16 cache).
   *
   * @param input one input or an array of B; an empty array gives empty tensors
   * @param options see {@link ScoreOptions}
   * @returns tensors of B rows in input order; scores are raw, or normalised where the checkpoint says `do_normalize`
   * @throws ERR_ARGUMENT, ERR_TEXT, ERR_TOKEN, ERR_TEMPLATE, ERR_INPUT_TOO_LONG, ERR_NON_FINITE, ERR_CLOSED,
   *   ERR_ABORTED, ERR_MEMORY, ERR_DECODE
   * @source safe-rlhf's `ScoreModelOutput`
   */
  async score(input: ScoreInput | readonly ScoreInput[], options?: ScoreOptions): Promise<ScoreModelOutput> {
    this.#queue.checkOpen();
    const checked = checkScoreOptions(options);
    const inputs = Array.isArray(input) ? (Array.from(input) as ScoreInput[]) : [input as ScoreInput];
    return this.#queue.run((proceed) => scoreInputs(this.#engine, inputs, checked, proceed), checked.signal);
  }

  /**
   * The token ids that {@link score} would compute for an input, before truncation.
   * @throws ERR_ARGUMENT, ERR_TEXT, ERR_TOKEN, ERR_TEMPLATE, ERR_CLOSED
   */
  tokenize(input: ScoreInput, options?: Pick<ScoreOptions, "appendEos">): Int32Array {
    this.#queue.checkOpen();
    return toIds(this.#engine, input, checkScoreOptions(options));
  }

  /** The text of a token id, as the vocabulary spells it ("▁" is a space). @throws ERR_TOKEN */
  tokenText(id: number): string {
    return this.#engine.tokenText(id);
  }

  /**
   * Frees the weights. Calls that are waiting are rejected with ERR_CLOSED, and so is the running one as soon as its
   * micro-batch ends. May be called again.
   */
  close(): Promise<void> {
    this.#freed ??= this.#queue.close().then(async () => {
      await this.#engine.addon.closeModel(this.#engine.handle);
      this.#unsubscribe();
    });
    return this.#freed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

async function openEngine(file: GgufFile, options: LoadOptions): Promise<{ engine: Engine; info: ModelInfo }> {
  const spec = headFor(file, options.profile);
  const backbone = readBackbone(file);
  validateHead(spec, backbone);
  const rules = tokenizerRules(file.metadata);
  const { addon } = openRuntime();
  const selection = selectDevices(options.device ?? "auto");
  const kv = options.kv ?? "f16";
  const threads = options.threads ?? availableParallelism();
  const wanted = { context: options.context, maxLength: spec.maxLength, kv } as const;
  const limits = {
    contextTokens: contextTokens(backbone, wanted, selection.devices),
    batchTokens: BATCH_TOKENS,
    maxOutputs: maxOutputs(backbone),
  };
  const opened = await addon
    .openModel({
      path: file.path,
      devices: selection.devices.map(({ name }) => name),
      gpuLayers: -1,
      ...limits,
      threads,
      kvF32: kv === "f32",
      headWeight: spec.weight,
      headBias: spec.bias ?? new Float32Array(0),
      headOutputs: spec.outputs,
      headHiddenSize: spec.hiddenSize,
    })
    .catch((error: unknown) => {
      throw nativeError(error);
    });
  const engine: Engine = {
    addon,
    handle: opened.handle,
    spec,
    profile: findProfile(spec.profile),
    rules,
    tokenText: tokenTexts(file),
    limits: { ...limits, contextTokens: opened.contextTokens },
    contextLength: backbone.contextLength,
  };
  const names = selection.devices.map(({ description }) => description).join(", ");
  const info: ModelInfo = {
    path: file.path,
    profile: spec.profile,
    type: spec.type,
    labels: spec.labels,
    architecture: backbone.architecture,
    hiddenSize: spec.hiddenSize,
    maxLength: spec.maxLength,
    contextTokens: opened.contextTokens,
    device: names ? `${selection.kind} (${names})` : selection.kind,
    threads,
  };
  return { engine, info };
}

/** The file's head, under another profile where the user says so: its template, type, labels, reading and truncation. */
function headFor(file: GgufFile, profileName: string | undefined): HeadSpec {
  const spec = headFromMetadata(file.metadata);
  if (profileName === undefined) return spec;
  const profile = findProfile(profileName);
  if (!profile)
    throw new ScoreheadError("ERR_ARGUMENT", `There is no profile "${profileName}"; known: ${PROFILE_NAMES}.`);
  return {
    ...spec,
    profile: profile.name,
    type: profile.type,
    labels: defaultLabels(profile.type, spec.outputs, profile.labels),
    read: profile.read,
    maxLength: profile.maxLength === null ? spec.maxLength : Math.min(profile.maxLength, spec.maxLength),
    truncationSide: profile.truncation.side,
  };
}

function tokenTexts({ metadata }: GgufFile): (id: number) => string {
  const tokens = metadata.get("tokenizer.ggml.tokens");
  const texts = tokens?.type === "array" && tokens.of === "string" ? tokens.value : [];
  return (id) => {
    const text = texts[id];
    if (text === undefined)
      throw new ScoreheadError("ERR_TOKEN", `There is no token ${describe(id)} in the vocabulary.`);
    return text;
  };
}
