/** How far a conversion is that discards weight files: beside the file that it writes first, for a later process to go on. */
import { readFile, rm, writeFile } from "node:fs/promises";
import { replaceFile } from "../replace-file.ts";

/** Weight files by their paths in the repository. */
interface Entries {
  /** Downloaded by this conversion, and so its to discard. */
  readonly ours: readonly string[];
  /** Their tensors are in that file. */
  readonly done: readonly string[];
}

export const journalPath = (partial: string): string => `${partial}.json`;

export class Journal {
  readonly #partial: string | null;
  readonly #ours: Set<string>;
  readonly #done: Set<string>;
  #turn: Promise<void> = Promise.resolve();

  private constructor(partial: string | null, { ours, done }: Entries) {
    this.#partial = partial;
    this.#ours = new Set(ours);
    this.#done = new Set(done);
  }

  /**
   * That of an earlier process, or an empty one where there is none or it is damaged.
   * @param partial the file that is written first, or null for a journal that is not kept
   */
  static async open(partial: string | null): Promise<Journal> {
    const text = partial === null ? "{}" : await readFile(journalPath(partial), "utf8").catch(() => "{}");
    return new Journal(partial, parse(text));
  }

  get done(): readonly string[] {
    return [...this.#done];
  }

  isOurs(path: string): boolean {
    return this.#ours.has(path);
  }

  /** Notes that a file was downloaded by this conversion. */
  async claim(path: string): Promise<void> {
    this.#ours.add(path);
    await this.#write();
  }

  /** Notes that a file's tensors are written for good. */
  async finish(path: string): Promise<void> {
    this.#done.add(path);
    await this.#write();
  }

  /** Forgets what was done, as the file is gone or of another plan, and removes that. */
  async restart(): Promise<void> {
    this.#done.clear();
    if (this.#partial !== null) await rm(this.#partial, { force: true });
  }

  /** After a failure: keeps what a later process can go on with, and no more. */
  async abandon(): Promise<void> {
    // The rest is made again from what was downloaded.
    if (this.#done.size === 0) await this.restart();
    if (this.#ours.size === 0 && this.#done.size === 0) await this.remove();
  }

  /** Removes journal and file. */
  async remove(): Promise<void> {
    if (this.#partial === null) return;
    await rm(this.#partial, { force: true });
    await rm(journalPath(this.#partial), { force: true });
  }

  /** One write at a time, each of what is known when its turn comes. */
  #write(): Promise<void> {
    const partial = this.#partial;
    if (partial === null) return Promise.resolve();
    const text = (): string => JSON.stringify({ ours: [...this.#ours], done: [...this.#done] } satisfies Entries);
    const written = this.#turn.then(() =>
      replaceFile(journalPath(partial), (temporary) => writeFile(temporary, text())),
    );
    this.#turn = written.catch(() => {});
    return written;
  }
}

function parse(text: string): Entries {
  try {
    const { ours = [], done = [] } = JSON.parse(text) as Partial<Entries>;
    const isList = (value: unknown) => Array.isArray(value) && value.every((item) => typeof item === "string");
    if (isList(ours) && isList(done)) return { ours, done };
  } catch {
    // As if there were none: the files are downloaded again.
  }
  return { ours: [], done: [] };
}
