/** Shared by the tests that run models: fixtures converted once a test file, and the models that they are loaded as. */
import { mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll } from "vitest";
import { convert, type LoadOptions, type OutputType, ScoreModel } from "../../lib/index.ts";
import { type CaseName, fixtureCase } from "../fixtures/cases.ts";
import { type WrittenCheckpoint, writeFixture } from "../fixtures/checkpoints.ts";

/** A test file's own directory, with a cache of its own, and what is made in it at most once. */
export interface Workspace {
  readonly path: (...names: readonly string[]) => string;
  /** The checkpoint of a case, in a directory of the case's name. */
  readonly checkpoint: (name: CaseName) => Promise<WrittenCheckpoint>;
  /** The case converted with its own profile. */
  readonly gguf: (name: CaseName, type?: OutputType) => Promise<string>;
  /**
   * {@link gguf} loaded on the CPU; closed after the file's last test. One thread: llama.cpp's threads spin while they
   * wait for each other, which on cores that other tests occupy takes twenty times as long.
   */
  readonly load: (name: CaseName, type?: OutputType, options?: LoadOptions) => Promise<ScoreModel>;
}

/** Call at the top of a test file. */
export function workspace(): Workspace {
  const state = { directory: "", made: new Map<string, Promise<unknown>>(), models: [] as ScoreModel[] };
  const path = (...names: readonly string[]): string => join(state.directory, ...names);
  const once = <Made>(key: string, make: () => Promise<Made>): Promise<Made> => {
    const known = (state.made.get(key) as Promise<Made> | undefined) ?? make();
    state.made.set(key, known);
    return known;
  };
  beforeAll(() => {
    state.directory = realpathSync(mkdtempSync(join(tmpdir(), "scorehead-test-")));
    process.env.SCOREHEAD_CACHE = path("cache");
  });
  afterAll(async () => {
    await Promise.all(state.models.map((model) => model.close()));
    rmSync(state.directory, { recursive: true, force: true });
  });

  const checkpoint = (name: CaseName) => once(name, () => writeFixture(name, path(name)));
  const gguf = (name: CaseName, type: OutputType = "f32") =>
    once(`${name} ${type}`, async () => {
      const { directory, tokenizerDirectory } = await checkpoint(name);
      const file = path(`${name}.${type}.gguf`);
      const { profile } = fixtureCase(name);
      await convert(directory, file, { tokenizer: tokenizerDirectory, profile, type });
      return file;
    });
  const load = async (name: CaseName, type: OutputType = "f32", options: LoadOptions = {}) => {
    const model = await ScoreModel.load(await gguf(name, type), { device: "cpu", threads: 1, ...options });
    state.models.push(model);
    return model;
  };
  return { path, checkpoint, gguf, load };
}
