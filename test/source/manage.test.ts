/** The cache of converted models: what is listed, removed and pruned, and what a running process keeps. */
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { listModels, pruneModels, removeModel } from "../../lib/index.ts";
import { withEntry } from "../../lib/source/converted.ts";
import { resolveSource } from "../../lib/source/resolve.ts";
import { refused } from "../gguf/support.ts";
import { BASE, PUBLISHED, publishedWorld } from "./published.ts";

const world = publishedWorld();

const BEAVER = PUBLISHED.beaver.repository;
const DPA = PUBLISHED.dpa.repository;
const commitOf = (repository: string): string => world.hub.repository(repository).refs.get("main") ?? "";
const record = (path: string): string => join(dirname(path), "record.json");

describe("list", () => {
  it("is empty without a cache", async () => {
    expect(await listModels()).toEqual([]);
    expect(await pruneModels()).toEqual([]);
    await refused(removeModel(BEAVER), "ERR_NOT_FOUND", BEAVER, "scorehead list");
  });

  it("has each conversion by the name that it is loaded by, with type, size, last use and path", async () => {
    const [q8, f16] = [await resolveSource(BEAVER, {}), await resolveSource(`${BEAVER}:auto`, {})];
    const pinned = await resolveSource(`${DPA}@${commitOf(DPA)}`, {});
    const local = await resolveSource(join(world.folder, "beaver-cost"), {});
    const models = await listModels();
    expect(models.map(({ name, type, path, commit }) => ({ name, type, path, commit }))).toEqual([
      { name: BEAVER, type: "bf16", path: f16, commit: commitOf(BEAVER) },
      { name: BEAVER, type: "q8_0", path: q8, commit: commitOf(BEAVER) },
      { name: `${DPA}@${commitOf(DPA)}`, type: "q8_0", path: pinned, commit: commitOf(DPA) },
      { name: "beaver-cost", type: "bf16", path: local, commit: null },
    ]);
    for (const { path, bytes, lastUsed } of models) {
      expect(bytes).toBeGreaterThan(statSync(path).size * 0.99);
      expect(bytes).toBeLessThan(statSync(path).size * 1.01 + 20_000);
      expect(Math.abs(Date.now() - +lastUsed)).toBeLessThan(60_000);
    }
  });

  it("the last use is the last load, of whatever kind", async () => {
    const path = await resolveSource(BEAVER, {});
    const long = new Date("2026-01-02T03:04:05Z");
    for (const options of [{}, { offline: true }]) {
      utimesSync(record(path), long, long);
      expect((await listModels())[0]?.lastUsed).toEqual(long);
      await resolveSource(BEAVER, options);
      expect(+((await listModels())[0]?.lastUsed ?? 0)).toBeGreaterThan(+long);
    }
  });
});

describe("remove", () => {
  const names = async (): Promise<string[]> => (await listModels()).map(({ name, type }) => `${name}:${type}`);

  it("takes a repository, a type, a revision, a directory's name, or a path", async () => {
    for (const name of [BEAVER, `${BEAVER}:f16`, `${BEAVER}:f32`, DPA, `${DPA}:auto`, join(world.folder, "dpa")])
      await resolveSource(name, {});
    const downloads = readdirSync(world.cache, { recursive: true }).length;
    const removed = await removeModel(`${BEAVER}:f16`);
    expect(removed).toMatchObject([{ name: BEAVER, type: "f16", reason: "asked" }]);
    expect(removed[0]?.bytes).toBeGreaterThan(5e6);
    expect(await names()).toEqual([`${BEAVER}:f32`, `${BEAVER}:q8_0`, `${DPA}:bf16`, `${DPA}:q8_0`, "dpa:bf16"]);
    await refused(removeModel(`${BEAVER}:f16`), "ERR_NOT_FOUND");
    await refused(removeModel(`${BEAVER}@v2`), "ERR_NOT_FOUND");
    expect(await removeModel(BEAVER)).toHaveLength(2);
    expect(await removeModel(`${DPA}:bf16`)).toMatchObject([{ type: "bf16" }]);
    expect(await removeModel(`${DPA}@main`)).toHaveLength(1);
    expect(await names()).toEqual(["dpa:bf16"]);
    expect(await removeModel((await listModels())[0]?.path ?? "")).toMatchObject([{ name: "dpa" }]);
    expect(readdirSync(world.converted)).toEqual([]);
    expect(readdirSync(world.cache, { recursive: true })).toHaveLength(downloads);
  });
});

describe("prune", () => {
  it("removes what a moved revision has left, and keeps what was asked for by its commit", async () => {
    const [first, pinned] = [await resolveSource(BEAVER, {}), await resolveSource(`${BEAVER}:f16`, {})];
    const before = commitOf(BEAVER);
    await resolveSource(`${BEAVER}@${before}:f16`, {});
    await world.hub.commitDirectory(BEAVER, join(world.folder, "beaver-cost"));
    try {
      expect(await pruneModels()).toEqual([]);
      const second = await resolveSource(BEAVER, {});
      expect(second).not.toBe(first);
      const names = (await listModels()).map(({ name, type }) => [name, type]);
      expect(names).toEqual([
        [BEAVER, "q8_0"],
        [`${BEAVER}@${before}`, "f16"],
        [`${BEAVER}@${before}`, "q8_0"],
      ]);
      const expected = [{ name: `${BEAVER}@${before}`, type: "q8_0", reason: "superseded", path: dirname(first) }];
      expect(await pruneModels({ dryRun: true })).toMatchObject(expected);
      expect(existsSync(first)).toBe(true);
      expect(await pruneModels()).toMatchObject(expected);
      expect([first, second, pinned].map((path) => existsSync(path))).toEqual([false, true, true]);
      expect(await pruneModels()).toEqual([]);
    } finally {
      world.hub.repository(BEAVER).refs.set("main", before);
    }
  });

  it("removes what older versions have converted, and not what newer ones have", async () => {
    const [old, young] = [await resolveSource(BEAVER, {}), await resolveSource(`${BEAVER}:f16`, {})];
    for (const [path, converter] of [
      [old, 0],
      [young, 99],
    ] as const)
      writeFileSync(record(path), JSON.stringify({ ...JSON.parse(readFileSync(record(path), "utf8")), converter }));
    expect(await pruneModels()).toMatchObject([{ name: BEAVER, type: "q8_0", reason: "old" }]);
    expect([old, young].map((path) => existsSync(path))).toEqual([false, true]);
  });

  it("removes what interrupted conversions have left, unless somebody is at work there", async () => {
    const path = await resolveSource(BEAVER, {});
    const left = join(world.converted, "me--gone.0123456789abcdef");
    mkdirSync(left);
    writeFileSync(join(left, "partial.gguf"), Buffer.alloc(100_000, 1));
    writeFileSync(join(dirname(path), ".a.gguf.123.0123456789ab.base.tmp"), Buffer.alloc(50_000, 1));
    await withEntry(left, {}, async () => {
      expect((await pruneModels({ dryRun: true })).map(({ path }) => basename(path))).toEqual([
        ".a.gguf.123.0123456789ab.base.tmp",
      ]);
    });
    const pruned = await pruneModels();
    expect(pruned.map(({ name, reason }) => [name, reason]).sort()).toEqual([
      [null, "interrupted"],
      [BEAVER, "interrupted"],
    ]);
    expect(pruned.reduce((sum, { bytes }) => sum + bytes, 0)).toBeGreaterThanOrEqual(150_000);
    expect(existsSync(left)).toBe(false);
    expect(readdirSync(dirname(path)).sort()).toEqual([basename(path), "lock", "record.json"]);
    expect(await resolveSource(BEAVER, { offline: true })).toBe(path);
  });
});

it("a damaged record counts as none: the model is converted again", async () => {
  const path = await resolveSource(BEAVER, {});
  for (const text of ["", "{}", "[]", '{"file":"../x"}', "null"]) {
    writeFileSync(record(path), text);
    expect(await listModels(), text).toEqual([]);
    expect(await resolveSource(BEAVER, {}), text).toBe(path);
    expect(await listModels(), text).toHaveLength(1);
  }
});

it("the base model's repository is named by the profile", () => expect(BASE).toBe("meta-llama/Llama-2-7b-chat-hf"));
