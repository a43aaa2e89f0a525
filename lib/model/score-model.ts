/** The public class: a loaded reward or cost model. */
import { unlessAborted } from "../abort.ts";
import { checkPath } from "../check-options.ts";
import { ScoreheadError } from "../errors.ts";
import type { ScoreModelOutput } from "../head/output.ts";
import type { Message } from "../prompt/types.ts";
import { subscribeLog } from "../runtime/log.ts";
import { openSource } from "../source/open.ts";
import { type AccelStats, type Engine, type ModelInfo, openEngine } from "./engine.ts";
import {
  checkLoadOptions,
  checkRankOptions,
  checkRankStreamOptions,
  checkScoreOptions,
  checkStreamOptions,
  type LoadOptions,
  type RankInput,
  type RankOptions,
  type RankStreamOptions,
  type ScoreInput,
  type ScoreOptions,
  type StreamInput,
  type StreamOptions,
} from "./options.ts";
import { scoreInputs } from "./pipeline.ts";
import { toIds } from "./prepare.ts";
import { type Ranked, rankInputs, rankScores, resolveWeights } from "./rank.ts";
import { type RankResult, streamRankings } from "./rank-stream.ts";
import type { SchedulerStats } from "./scheduler.ts";
import { checkIterable, type StreamResult, streamScores } from "./stream.ts";
import type { Items } from "./stream-source.ts";

/** What a model has done since it was loaded. */
export interface ModelStats extends SchedulerStats {
  /** What scorehead's own kernels computed; null where they are not in use. */
  readonly accel: AccelStats | null;
}

/**
 * A reward or cost model, loaded and ready to score.
 *
 * Calls may overlap: their texts share micro-batches, in turns. Prefixes that texts have in common are computed once, and
 * recent ones stay in the cache for the next call. The weights are freed by {@link close}, by `await using`,
 * or when the process or worker thread ends.
 */
export class ScoreModel {
  readonly #engine: Engine;
  readonly #unsubscribe: () => void;
  #freed: Promise<void> | undefined;

  private constructor(engine: Engine, unsubscribe: () => void) {
    if (!engine)
      throw new ScoreheadError("ERR_ARGUMENT", "A model is made by `await ScoreModel.load(…)`, not by `new`.");
    this.#engine = engine;
    this.#unsubscribe = unsubscribe;
  }

  get info(): ModelInfo {
    return this.#engine.info;
  }

  /** What has been asked for, computed and reused since the model was loaded. */
  stats(): ModelStats {
    return { ...this.#engine.scheduler.stats, accel: this.#engine.accel() };
  }

  /**
   * Loads a model.
   *
   * @param source a .gguf with a score head, or without one and a `head` to use with it, or a published checkpoint: its
   *   directory, or `owner/name[@revision][:type]` on the hub, which is downloaded and converted into the cache the first
   *   time (default type: `q8_0`)
   * @param options see {@link LoadOptions}
   * @returns the model, once its weights are there
   * @throws ERR_ARGUMENT, ERR_NOT_FOUND, ERR_GGUF, ERR_NO_HEAD, ERR_NEWER_VERSION, ERR_HEAD, ERR_RUNTIME, ERR_DEVICE,
   *   ERR_MEMORY, ERR_LOAD, ERR_ABORTED, and what `convert` throws
   */
  static async load(source: string, options?: LoadOptions): Promise<ScoreModel> {
    const checked = checkLoadOptions(options);
    checkPath(source, "The model");
    const unsubscribe = subscribeLog(checked.onLog);
    try {
      const scorable = await openSource(source, checked);
      for (const warning of scorable.warnings) checked.onWarning?.(warning);
      const opening = openEngine(scorable, checked).then((engine) => new ScoreModel(engine, unsubscribe));
      // Nobody waits any more for weights that are being read; they are freed when they are there.
      return await unlessAborted(opening, checked.signal).catch((error: unknown) => {
        opening.then((model) => model.close()).catch(() => {});
        throw error;
      });
    } catch (error) {
      unsubscribe();
      throw error;
    }
  }

  /**
   * Scores one text or many.
   *
   * Each text gets the same result alone, in any batch and in any order, but for float rounding (about 1e-6 relative
   * with `kv: "f32"`, about 1e-3 with the F16 cache).
   *
   * @param input one input or an array of B; an empty array gives empty tensors
   * @param options see {@link ScoreOptions}
   * @returns tensors of B rows in input order; scores are raw, or normalised where the checkpoint says `do_normalize`
   * @throws ERR_ARGUMENT, ERR_TEXT, ERR_TOKEN, ERR_TEMPLATE, ERR_INPUT_TOO_LONG, ERR_NON_FINITE, ERR_CLOSED,
   *   ERR_ABORTED, ERR_MEMORY, ERR_DECODE
   * @source safe-rlhf's `ScoreModelOutput`
   */
  async score(input: ScoreInput | readonly ScoreInput[], options?: ScoreOptions): Promise<ScoreModelOutput> {
    this.#engine.scheduler.checkOpen();
    const checked = checkScoreOptions(options);
    const inputs = Array.isArray(input) ? (Array.from(input) as ScoreInput[]) : [input as ScoreInput];
    return scoreInputs(this.#engine, inputs, checked);
  }

  /**
   * Ranks the answers to one prompt; the prompt is computed once.
   *
   * @param prompt the user's text, or messages that end with a user turn
   * @param responses the answers, at least one
   * @param options see {@link RankOptions}; a model of several outputs needs `weights`, unless it mixes them itself
   * @returns the answers, best first: the highest reward or weighted sum, the lowest cost; equal ones in given order
   * @throws as {@link score}
   */
  async rank(
    prompt: string | readonly Message[],
    responses: readonly string[],
    options?: RankOptions,
  ): Promise<Ranked[]> {
    this.#engine.scheduler.checkOpen();
    const { weights, ...checked } = checkRankOptions(options);
    const resolved = resolveWeights(weights, this.#engine.spec);
    const { endScores, type } = await scoreInputs(this.#engine, rankInputs(prompt, responses), checked);
    return rankScores(endScores.data, type, resolved);
  }

  /**
   * Scores any number of inputs in bounded memory.
   *
   * Inputs are read as results are taken, a few hundred ahead; a result never waits for the next input. An input that
   * cannot be scored gives its error, and the others go on. Leaving the loop stops the work.
   *
   * @param inputs an iterable or async iterable of inputs; when it throws, the loop does, after the results before that
   * @param options as for {@link score}
   * @returns for each input, in order, `{ index, … }` with the output of one row, or `{ index, error }`
   * @throws ERR_ARGUMENT, ERR_CLOSED, ERR_ABORTED, at the call or in the loop
   */
  scoreStream(inputs: Items<StreamInput>, options?: StreamOptions): AsyncGenerator<StreamResult, void, undefined> {
    this.#engine.scheduler.checkOpen();
    return streamScores(this.#engine, checkIterable<StreamInput>(inputs), checkStreamOptions(options));
  }

  /**
   * Ranks the answers of any number of prompts in bounded memory; each prompt is computed once.
   *
   * This is the way to rank many: calls of {@link rank} that overlap take turns, and lose what their answers share.
   *
   * @param inputs an iterable or async iterable of `{prompt, responses}` or `{messages, responses}`
   * @param options as for {@link rank}
   * @returns for each input, in order, `{ index, ranking }` as {@link rank} returns it, or `{ index, error }`: an answer
   *   that cannot be scored spoils its ranking and no other one
   * @throws as {@link scoreStream}
   */
  rankStream(inputs: Items<RankInput>, options?: RankStreamOptions): AsyncGenerator<RankResult, void, undefined> {
    this.#engine.scheduler.checkOpen();
    const { weights, ...checked } = checkRankStreamOptions(options);
    const resolved = resolveWeights(weights, this.#engine.spec);
    return streamRankings(this.#engine, checkIterable<RankInput>(inputs), resolved, checked);
  }

  /**
   * The token ids that {@link score} would compute for an input, before truncation.
   * @throws ERR_ARGUMENT, ERR_TEXT, ERR_TOKEN, ERR_TEMPLATE, ERR_CLOSED
   */
  tokenize(input: ScoreInput, options?: Pick<ScoreOptions, "appendEos">): Int32Array {
    this.#engine.scheduler.checkOpen();
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
    this.#freed ??= this.#engine.scheduler.close().then(async () => {
      await this.#engine.addon.closeModel(this.#engine.handle);
      this.#unsubscribe();
    });
    return this.#freed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
