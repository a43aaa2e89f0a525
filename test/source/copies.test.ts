/** Copies of classifier files, which llama.cpp does not open as they are: in the cache beside converted checkpoints. */
import { copyFileSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, utimesSync } from "node:fs";
import { basename, dirname } from "node:path";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type LoadOptions, listModels, pruneModels, removeModel, ScoreModel } from "../../lib/index.ts";
import { withEntry } from "../../lib/source/converted.ts";
import { openSource } from "../../lib/source/open.ts";
import { f32, foreignFile, headFile } from "../attach/support.ts";
import { Random } from "../fixtures/random.ts";
import { refused } from "../gguf/support.ts";
import { workspace } from "../model/support.ts";

const space = workspace();
const { path } = space;
const WIDTH = 256;

const classifier = (seed: number): Promise<string> =>
  foreignFile(space, "beaver-reward", "f16", {
    added: [
      {
        name: "cls.output.weight",
        dims: [WIDTH],
        type: "F32",
        bytes: f32(...new Random(seed, "copy").normal(WIDTH, 0, 0.1)),
      },
    ],
  });

let made: readonly [string, string];
beforeAll(async () => {
  made = [await classifier(1), await classifier(2)];
});

let file: string;
beforeEach(() => {
  rmSync(path("cache"), { recursive: true, force: true });
  rmSync(path("mine"), { recursive: true, force: true });
  mkdirSync(path("mine"));
  file = path("mine", "kindness.gguf");
  copyFileSync(made[0], file);
});

/** The path of the copy that a file is loaded as. */
async function copyOf(source: string, options: Pick<LoadOptions, "head" | "type" | "onWarning"> = {}): Promise<string> {
  return (await openSource(source, options)).file.path;
}

describe("a copy", () => {
  it("is listed under the file that it is made of, with its type and size", async () => {
    const copy = await copyOf(file);
    const [model, ...others] = await listModels();
    expect(others).toEqual([]);
    expect(model).toMatchObject({ name: file, commit: null, type: "f16", path: copy });
    expect(model?.bytes).toBeGreaterThan(statSync(copy).size * 0.99);
    const long = new Date("2026-01-02T03:04:05Z");
    utimesSync(`${dirname(copy)}/record.json`, long, long);
    expect((await listModels())[0]?.lastUsed).toEqual(long);
    expect(await copyOf(file)).toBe(copy);
    expect(+((await listModels())[0]?.lastUsed ?? 0)).toBeGreaterThan(+long);
  });

  it("is made once for what was asked of the head, by one process while the others wait", async () => {
    const copies = await Promise.all([copyOf(file), copyOf(file)]);
    expect(new Set(copies).size).toBe(1);
    expect(await copyOf(file, { type: "cost" })).not.toBe(copies[0]);
    expect(await listModels()).toHaveLength(2);
    const told: string[] = [];
    await copyOf(file, { onWarning: (message) => told.push(message) });
    expect(told.filter((message) => message.includes("converting"))).toEqual([]);
  });

  it.each([
    ["the source's path", () => file],
    ["the source's name", () => basename(file, ".gguf")],
    ["its own path", () => copyOf(file)],
  ])("is removed by %s", async (_, name) => {
    await copyOf(file, { type: "cost" });
    const copy = await copyOf(file);
    const removed = await removeModel(await name());
    expect(removed[0]).toMatchObject({ name: file, type: "f16", reason: "asked" });
    expect(existsSync(copy)).toBe(false);
    expect(existsSync(file)).toBe(true);
    await refused(removeModel(copy), "ERR_NOT_FOUND", "scorehead list");
  });
});

describe("prune", () => {
  it("keeps the copy of a file that is as it was, touched or not", async () => {
    const copy = await copyOf(file, { head: await headFile(space, "beaver-reward") });
    utimesSync(file, new Date(), new Date(0));
    expect(await pruneModels()).toEqual([]);
    expect(existsSync(copy)).toBe(true);
  });

  it.each<[string, () => void]>([
    ["gone", () => rmSync(file)],
    ["renamed", () => renameSync(file, path("mine", "other.gguf"))],
    ["another one now", () => copyFileSync(made[1], file)],
  ])("removes the copy of a file that is %s", async (_, change) => {
    const copy = await copyOf(file);
    change();
    const expected = [{ name: file, type: "f16", reason: "changed", path: dirname(copy) }];
    expect(await pruneModels({ dryRun: true })).toMatchObject(expected);
    expect(existsSync(copy)).toBe(true);
    expect(await pruneModels()).toMatchObject(expected);
    expect(existsSync(copy)).toBe(false);
  });

  it("removes a copy whose head is gone, and not the one of the file's own", async () => {
    const head = await headFile(space, "beaver-reward");
    const [own, other] = [await copyOf(file), await copyOf(file, { head })];
    rmSync(head);
    expect(await pruneModels()).toMatchObject([{ reason: "changed", path: dirname(other) }]);
    expect(existsSync(own)).toBe(true);
  });

  it("leaves what a process is at work on", async () => {
    const copy = await copyOf(file);
    rmSync(file);
    await withEntry(dirname(copy), {}, async () => expect(await pruneModels()).toEqual([]));
    expect(await pruneModels()).toHaveLength(1);
    expect(readdirSync(path("cache", "converted"))).toEqual([]);
  });
});

it("a file that llama.cpp opens as it is has no copy", async () => {
  const plain = await foreignFile(space, "beaver-reward", "f16");
  await using model = await ScoreModel.load(plain, {
    head: await headFile(space, "beaver-reward"),
    device: "cpu",
    threads: 1,
  });
  expect(model.info.path).toBe(plain);
  expect(await listModels()).toEqual([]);
});
