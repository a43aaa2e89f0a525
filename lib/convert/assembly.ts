/** Writing a plan's tensors file by file, as the files that hold them become available. */
import { ScoreheadError } from "../errors.ts";
import { GgufWriter, type WriteOptions } from "../gguf/writer.ts";
import type { ConvertPlan } from "./plan.ts";
import { filesOf, type PlannedTensor } from "./plan-tensors.ts";
import { tensorBytes } from "./tensor-data.ts";
import type { JobOptions } from "./types.ts";

/** An unquantised file that takes a checkpoint's weight files in any order. Close it, also after an error. */
export class Assembly {
  readonly path: string;
  readonly #writer: GgufWriter;
  readonly #tensors: ConvertPlan["tensors"];
  /** Files that hold tensors which are not written yet. */
  readonly #missing: Set<string>;
  /** One file at a time, each read from its beginning to its end. */
  #turn: Promise<void> = Promise.resolve();

  private constructor(path: string, writer: GgufWriter, { tensors }: ConvertPlan) {
    this.path = path;
    this.#writer = writer;
    this.#tensors = tensors;
    this.#missing = new Set(filesOf(tensors));
  }

  /** Begins a file at `path`, where none may be. */
  static async create(plan: ConvertPlan, path: string, options: JobOptions): Promise<Assembly> {
    const writer = await GgufWriter.create(path, plan.metadata, plan.tensors, writing(options));
    return new Assembly(path, writer, plan).#begin();
  }

  /**
   * Goes on with what an interrupted assembly of the same plan left at `path`; null where there is no such thing.
   * @param done the files whose tensors are in it
   */
  static async resume(
    plan: ConvertPlan,
    path: string,
    done: readonly string[],
    options: JobOptions,
  ): Promise<Assembly | null> {
    const writer = await GgufWriter.reopen(path, plan.metadata, plan.tensors, writing(options));
    if (!writer) return null;
    const assembly = new Assembly(path, writer, plan);
    for (const file of done) {
      for (const index of assembly.#tensorsOf(file)) writer.skip(index);
      assembly.#missing.delete(file);
    }
    return assembly.#begin();
  }

  /** Writes the tensors that `file` holds. A file that was added before, or holds none, is no work. */
  add(file: string): Promise<void> {
    const turn = this.#turn.then(() => this.#write(file));
    // Whoever added the file hears of its failure; the next one is not concerned.
    this.#turn = turn.catch(() => {});
    return turn;
  }

  /** Resolves when what was added would survive a power cut. */
  sync(): Promise<void> {
    return this.#writer.sync();
  }

  /** @throws ERR_INTERNAL where a file has not been added */
  requireComplete(): void {
    if (this.#missing.size === 0) return;
    throw new ScoreheadError(
      "ERR_INTERNAL",
      `The weights in ${[...this.#missing].join(", ")} were never converted. Please report this.`,
    );
  }

  close(): Promise<void> {
    return this.#writer.close();
  }

  /** Writes what is in none of the files. */
  async #begin(): Promise<Assembly> {
    try {
      await this.#writeAll(this.#tensorsOf(null));
      return this;
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  async #write(file: string): Promise<void> {
    if (!this.#missing.has(file)) return;
    await this.#writeAll(this.#tensorsOf(file));
    this.#missing.delete(file);
  }

  async #writeAll(indices: readonly number[]): Promise<void> {
    for (const index of indices) {
      const tensor = this.#tensors[index];
      if (tensor) await this.#writer.write(index, tensorBytes(tensor));
    }
  }

  /** @param file null: those that are in none */
  #tensorsOf(file: string | null): number[] {
    const isIn = ({ source }: PlannedTensor): boolean =>
      (source.kind === "checkpoint" ? source.tensor.file : null) === file;
    return [...this.#tensors.keys()].filter((index) => isIn(this.#tensors[index] as PlannedTensor));
  }
}

function writing({ onProgress, signal }: JobOptions): WriteOptions {
  return { onProgress: (bytes, total) => onProgress?.({ stage: "convert", bytes, total }), signal };
}
