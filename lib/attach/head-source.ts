/** What the user names as a head: a safetensors file, or a checkpoint's directory, with a config beside it. */
import { stat } from "node:fs/promises";
import { LOCAL_FILES } from "../checkpoint/files.ts";
import { openCheckpoint } from "../checkpoint/open.ts";
import { readSafetensors } from "../checkpoint/safetensors.ts";
import type { CheckpointTensor, JsonObject } from "../checkpoint/types.ts";
import { type HeadTensors, type NormalizerRule, readHead } from "../convert/head.ts";
import type { HeadRule } from "../convert/head-rules.ts";
import { LAYOUTS, type Layout, NEVER_READ } from "../convert/layouts.ts";
import type { Reading } from "../convert/meaning.ts";
import { originOf } from "../convert/origin.ts";
import { layoutOf } from "../convert/plan.ts";
import { ioError, ScoreheadError } from "../errors.ts";
import type { HeadSpec } from "../head/types.ts";

/** Backbone tensors, which a directory may hold as well. */
const BACKBONE = /^(model|transformer|lm_head)\./;
const NORMALIZER: NormalizerRule = { mean: "normalizer.mean", var: "normalizer.var" };

export class HeadSource implements HeadTensors {
  readonly place: string;
  /** What may name its profile. */
  readonly name: string;
  readonly files = LOCAL_FILES;
  readonly config: JsonObject | null;
  /** The class that the config or the tensors name; null where none that is known. */
  readonly architecture: string | null;
  readonly #tensors: ReadonlyMap<string, CheckpointTensor>;
  readonly #layout: Layout | null;
  readonly #used = new Set<string>();

  /** @throws ERR_NOT_FOUND, ERR_IO, ERR_SAFETENSORS, and for a directory what opening a checkpoint throws */
  static async open(path: string): Promise<HeadSource> {
    const found = await stat(path).catch((error: unknown) => {
      throw ioError("open the head", path, error);
    });
    if (found.isDirectory()) {
      const { tensors, config } = await openCheckpoint(path);
      const { name } = await originOf(path, config ?? {});
      return new HeadSource(path, name, tensors, config);
    }
    const tensors = await readSafetensors(path);
    return new HeadSource(path, path, new Map(tensors.map((tensor) => [tensor.name, tensor])), null);
  }

  private constructor(
    place: string,
    name: string,
    tensors: ReadonlyMap<string, CheckpointTensor>,
    config: JsonObject | null,
  ) {
    const found = layoutOf(tensors, config);
    this.place = place;
    this.name = name;
    this.config = config;
    this.architecture = found?.name ?? null;
    this.#layout = found?.layout ?? null;
    this.#tensors = tensors;
  }

  get(name: string): CheckpointTensor | undefined {
    this.#used.add(name);
    return this.#tensors.get(name);
  }

  /**
   * The head, by the layout that its config names, else by its tensors' names; each tensor has to have its place in it.
   * @throws ERR_TENSOR, ERR_CONFIG, ERR_HEAD
   */
  async read(reading: Reading): Promise<HeadSpec> {
    // A head's config may be its base model's, so any head is looked for after the layout's own.
    const rules = [...(this.#layout?.heads ?? []), ...this.#knownRules()];
    const config = this.config ?? {};
    const head = await readHead(rules, this.#normalizer(), this, config, reading);
    const ignored = [BACKBONE, ...NEVER_READ, ...(this.#layout?.ignored ?? [])];
    const others = [...this.#tensors.keys()].filter(
      (name) => !this.#used.has(name) && !ignored.some((pattern) => pattern.test(name)),
    );
    if (others.length === 0) return head;
    throw new ScoreheadError(
      "ERR_TENSOR",
      `${this.place} holds tensors that are no part of the head that it seems to be: ${others.slice(0, 5).join(", ")}. ` +
        "Put the checkpoint's config.json beside the tensors and name the directory, or leave them out.",
    );
  }

  /** Every head that is known, and the one linear layer that all of the tensors are. */
  #knownRules(): readonly HeadRule[] {
    const matrices = [...this.#tensors.values()].filter(
      ({ name, shape }) => shape.length === 2 && /(^|\.)weight$/.test(name) && !BACKBONE.test(name),
    );
    const [only] = matrices;
    const known = [...new Set(LAYOUTS.flatMap(({ heads }) => heads))];
    if (matrices.length !== 1 || !only) return known;
    return [...known, { kind: "linear", name: only.name.replace(/\.?weight$/, "") }];
  }

  /** Nothing but the config tells whether the buffers are used. */
  #normalizer(): NormalizerRule | null {
    if (this.#layout) return this.#layout.normalizer;
    if (this.config === null && this.#tensors.has(NORMALIZER.mean))
      throw new ScoreheadError(
        "ERR_CONFIG",
        `${this.place} holds ${NORMALIZER.mean}, and nothing says whether scores are normalised by it. Put the ` +
          "checkpoint's config.json beside it and name the directory, or leave the normalizer's tensors out.",
      );
    return NORMALIZER;
  }
}
