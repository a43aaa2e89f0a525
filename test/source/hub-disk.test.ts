/** Little disk: the plan's numbers, downloads that go as they are converted, and going on after an interruption. */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { pull } from "../../lib/hub/pull.ts";
import { openSnapshot } from "../../lib/hub/snapshot.ts";
import { convert, type DownloadPlan, listModels } from "../../lib/index.ts";
import { peakDiscarded, peakKept } from "../../lib/source/download-plan.ts";
import { resolveSource } from "../../lib/source/resolve.ts";
import { refused } from "../gguf/support.ts";
import { TOKEN } from "../hub/server.ts";
import { PUBLISHED, publishedWorld } from "./published.ts";

const disk = vi.hoisted(() => ({ free: Number.POSITIVE_INFINITY }));
vi.mock("node:fs/promises", async (original) => ({
  ...(await original<typeof import("node:fs/promises")>()),
  statfs: async () => ({ bavail: disk.free, bsize: 1 }),
}));

const world = publishedWorld();
beforeEach(() => {
  disk.free = Number.POSITIVE_INFINITY;
});

const BEAVER = PUBLISHED.beaver.repository;
const STARLING = PUBLISHED.starling.repository;
const FIRST = "model-00001-of-00007.safetensors";
const SECOND = "model-00002-of-00007.safetensors";

const folder = (repository: string): string => join(world.cache, `models--${repository.replace("/", "--")}`);
const commitOf = (repository: string): string => world.hub.repository(repository).refs.get("main") ?? "";
const snapshot = (repository: string): string => join(folder(repository), "snapshots", commitOf(repository));
const weights = (repository: string): string[] =>
  readdirSync(snapshot(repository))
    .filter((name) => /\.(safetensors|pt)$/.test(name))
    .sort();
const sha = (file: string): string => createHash("sha256").update(readFileSync(file)).digest("hex");
const sizeOf = (name: string): number => statSync(join(world.folder, "beaver-cost", name)).size;

/** What the kept way gives, made in caches of its own. */
async function expected(name: string): Promise<string> {
  const path = await resolveSource(name, {});
  const hash = sha(path);
  rmSync(world.cache, { recursive: true });
  rmSync(world.converted, { recursive: true });
  world.hub.requests.length = 0;
  return hash;
}

describe("the most that is on disk at once", () => {
  const GB = 1e9;
  const needs = (downloads: number[], base: number, result: number, written = 0) => ({
    downloads: downloads.map((size) => size * GB),
    size: { base: base * GB, result: result * GB },
    written: written * GB,
  });

  it.each([
    ["downloads and result, where nothing is quantised", needs([10, 4], 14, 14), 28, 14 + 14],
    ["and the unquantised file, where it is", needs([10, 4], 14, 7), 35, 14 + 14],
    ["as the two largest files and the unquantised one", needs([3, 3, 3, 3, 3], 15, 7), 37, 22],
    ["or, where that is more, as unquantised file and result", needs([1, 1, 1], 20, 19), 42, 39],
    ["less what an earlier process has written", needs([3], 15, 15, 12), 6, 6],
    ["or nothing but the conversion, where all is downloaded", needs([], 15, 8), 23, 23],
  ])("%s", (_, given, kept, discarded) => {
    expect(peakKept(given).both / GB).toBeCloseTo(kept, 6);
    expect(peakDiscarded(given).both / GB).toBeCloseTo(discarded, 6);
  });
});

describe("room", () => {
  const plans: DownloadPlan[] = [];
  const onPlan = (plan: DownloadPlan) => plans.push(plan);
  const planOf = async (name: string, free: number, options = {}): Promise<DownloadPlan> => {
    plans.length = 0;
    disk.free = free;
    await resolveSource(name, { ...options, onPlan });
    return plans[0] as DownloadPlan;
  };
  const reset = (): void => {
    rmSync(world.cache, { recursive: true, force: true });
    rmSync(world.converted, { recursive: true, force: true });
  };

  it("for all keeps the downloads, for less discards them, for too little is refused before the download", async () => {
    const all = await planOf(`${BEAVER}:bf16`, 1e12);
    expect(all.keepDownloads).toBe(true);
    expect(all.peakBytes).toBe(all.downloadBytes + all.resultBytes);
    reset();
    expect((await planOf(`${BEAVER}:bf16`, all.peakBytes)).keepDownloads).toBe(true);
    reset();
    const less = await planOf(`${BEAVER}:bf16`, all.peakBytes - 1);
    expect(less).toMatchObject({ keepDownloads: false, downloadBytes: all.downloadBytes });
    expect(less.peakBytes).toBe(less.resultBytes + sizeOf(FIRST) + sizeOf(SECOND));
    expect(weights(BEAVER)).toEqual([]);
    reset();
    world.hub.requests.length = 0;
    const job = planOf(`${BEAVER}:bf16`, less.peakBytes - 1);
    const numbers = [less.peakBytes, less.downloadBytes, less.resultBytes, less.peakBytes - 1];
    const texts = numbers.map((bytes) => `${(bytes / 1e9).toFixed(2)} GB`);
    await refused(job, "ERR_DISK_SPACE", BEAVER, ...texts, "HF_HOME", "SCOREHEAD_CACHE");
    expect(world.hub.seen("bytes", FIRST).filter(({ range }) => range === null)).toEqual([]);
    expect(existsSync(world.converted) ? readdirSync(world.converted) : []).toEqual([]);
  });

  it("to keep them, where that is asked for, is an error that says what would be enough", async () => {
    const { peakBytes } = await planOf(`${BEAVER}:bf16`, 1e12, { keepDownloads: false });
    reset();
    await refused(
      planOf(`${BEAVER}:bf16`, peakBytes, { keepDownloads: true }),
      "ERR_DISK_SPACE",
      "--discard-downloads",
    );
  });

  it("counts the unquantised file, and no more than there is to download", async () => {
    const direct = await planOf(BEAVER, 1e12);
    expect(direct.peakBytes).toBe(direct.downloadBytes + direct.resultBytes);
    reset();
    const all = await planOf(`${BEAVER}:q4_0`, 1e12);
    expect(all.peakBytes).toBeGreaterThan(all.downloadBytes + all.resultBytes + 5e6);
    rmSync(world.converted, { recursive: true });
    rmSync(join(snapshot(BEAVER), SECOND));
    const again = await planOf(`${BEAVER}:q4_0`, 1e12);
    // Its blob is still there.
    expect(again).toMatchObject({ downloadBytes: 0, peakBytes: all.peakBytes - all.downloadBytes });
  });

  it("of a torch file is bounded before it is there", async () => {
    process.env.HF_TOKEN = TOKEN;
    const size = statSync(join(world.folder, "starling", "starling_rm.pt")).size;
    // Vocabulary and head come beside the weights.
    const keys = 8e6;
    const q8 = await planOf(`${STARLING}:q8_0`, 1e12);
    const half = Math.ceil((size / 2) * (34 / 32)) + keys;
    expect(q8).toMatchObject({ downloadBytes: size, resultBytes: half, peakBytes: size + half });
    expect(readFileSync((await listModels())[0]?.path ?? "").length).toBeLessThan(half);
    reset();
    const q4 = await planOf(`${STARLING}:q4_0`, 1e12);
    expect(q4.peakBytes).toBe(size + (size + keys) + q4.resultBytes);
  });
});

describe("downloads that are not kept", () => {
  const discard = { keepDownloads: false } as const;

  it.each([`${BEAVER}:f16`, `${BEAVER}:q8_0`, `${STARLING}:q4_0`])("%s is the same file", async (name) => {
    process.env.HF_TOKEN = TOKEN;
    const hash = await expected(name);
    const path = await resolveSource(name, discard);
    expect(sha(path)).toBe(hash);
    const repository = name.split(":")[0] as string;
    expect(weights(repository)).toEqual([]);
    expect(readdirSync(dirname(path)).sort()).toEqual(
      [path.slice(dirname(path).length + 1), "lock", "record.json"].sort(),
    );
    // Now that it is there, nothing is downloaded for it.
    world.hub.requests.length = 0;
    expect(await resolveSource(name, {})).toBe(path);
    expect(world.hub.seen("bytes")).toEqual([]);
  });

  it("are those of this conversion: what was there before stays", async () => {
    await resolveSource(`${BEAVER}:f16`, {});
    for (const name of [SECOND, "model-00003-of-00007.safetensors"]) {
      const link = join(snapshot(BEAVER), name);
      // The blob of one, as of another snapshot; the other is gone.
      if (name === SECOND) rmSync(link);
      else rmSync(join(folder(BEAVER), "blobs", sha(link)));
    }
    await resolveSource(`${BEAVER}:f32`, discard);
    const left = weights(BEAVER);
    expect(left).toContain(FIRST);
    expect(left).toContain(SECOND);
    expect(left).not.toContain("model-00003-of-00007.safetensors");
    expect(left).toHaveLength(6);
  });

  it("and what another process downloads meanwhile stays as well", async () => {
    const revision = { repository: BEAVER, revision: "main", commit: commitOf(BEAVER), online: true };
    let release = (): void => {};
    const waiting = new Promise<void>((resolve) => {
      release = resolve;
    });
    // The other one's request is the first for its bytes.
    world.hub.fault = ({ kind, path, count }) =>
      kind === "bytes" && path === SECOND && count === 1 ? { after: waiting } : null;
    const other = pull(await openSnapshot(revision));
    const onWarning = (message: string): void => {
      if (message.includes(SECOND)) release();
    };
    await vi.waitFor(() => expect(world.hub.seen("bytes", SECOND)).toHaveLength(1));
    await Promise.all([other, resolveSource(`${BEAVER}:f16`, { ...discard, onWarning })]);
    expect(weights(BEAVER)).toContain(SECOND);
  });

  it("leave two files on disk at a time", async () => {
    let most = 0;
    await resolveSource(`${BEAVER}:f16`, {
      ...discard,
      onProgress: () => {
        most = Math.max(most, existsSync(snapshot(BEAVER)) ? weights(BEAVER).length : 0);
      },
    });
    expect(most).toBeGreaterThan(0);
    expect(most).toBeLessThanOrEqual(2);
  });

  it.each([`${BEAVER}:q8_0`, `${BEAVER}:q4_0`])("%s, interrupted, goes on with what is converted", async (name) => {
    const hash = await expected(name);
    const stop = new AbortController();
    const gone = (): boolean => existsSync(snapshot(BEAVER)) && sizeOfDone() >= 3;
    const onProgress = (): void => {
      if (gone()) stop.abort();
    };
    await refused(resolveSource(name, { ...discard, signal: stop.signal, onProgress }), "ERR_ABORTED");
    const done = journal().done;
    expect(done.length).toBeGreaterThanOrEqual(3);
    expect(weights(BEAVER).filter((file) => done.includes(file))).toEqual([]);
    world.hub.requests.length = 0;
    const plans: DownloadPlan[] = [];
    expect(sha(await resolveSource(name, { ...discard, onPlan: (plan) => plans.push(plan) }))).toBe(hash);
    expect(plans[0]?.downloadBytes).toBeLessThan(4.3e6);
    for (const file of done)
      expect(world.hub.seen("bytes", file).filter(({ range }) => range === null).length).toBeLessThan(2);
    expect(world.hub.seen("bytes", FIRST).filter(({ range }) => range === null)).toHaveLength(
      done.includes(FIRST) ? 0 : 1,
    );
    expect(weights(BEAVER)).toEqual([]);
    expect(entry().sort()).toHaveLength(3);
  });

  it("goes on by keeping what comes, where it is asked to", async () => {
    const hash = await expected(`${BEAVER}:f16`);
    const stop = new AbortController();
    const onProgress = (): void => {
      if (sizeOfDone() >= 3) stop.abort();
    };
    await refused(resolveSource(`${BEAVER}:f16`, { ...discard, signal: stop.signal, onProgress }), "ERR_ABORTED");
    const { done } = journal();
    expect(sha(await resolveSource(`${BEAVER}:f16`, { keepDownloads: true }))).toBe(hash);
    expect(weights(BEAVER)).toHaveLength(7 - done.length);
  });

  it("begins anew where the partial file is damaged", async () => {
    const hash = await expected(`${BEAVER}:f16`);
    const stop = new AbortController();
    const onProgress = (): void => {
      if (sizeOfDone() >= 3) stop.abort();
    };
    await refused(resolveSource(`${BEAVER}:f16`, { ...discard, signal: stop.signal, onProgress }), "ERR_ABORTED");
    rmSync(join(world.converted, directory(), "partial.gguf"));
    expect(sha(await resolveSource(`${BEAVER}:f16`, discard))).toBe(hash);
  });

  it("an error that has discarded nothing leaves nothing", async () => {
    // The first request for each is for its header.
    world.hub.fault = ({ kind, path, count }) =>
      kind === "resolve" && path.endsWith(".safetensors") && count > 1 ? { status: 404 } : null;
    await refused(resolveSource(`${BEAVER}:f16`, discard), "ERR_NOT_FOUND", ".safetensors");
    expect(readdirSync(world.converted)).toEqual([]);
  });

  const directory = (): string => (existsSync(world.converted) ? (readdirSync(world.converted)[0] ?? "") : "");
  const entry = (): string[] => readdirSync(join(world.converted, directory()));
  const journal = (): { done: string[] } => {
    const path = join(world.converted, directory(), "partial.gguf.json");
    return existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : { done: [] };
  };
  const sizeOfDone = (): number => journal().done.length;
});

describe("convert by name", () => {
  it("writes the same file, downloads kept or not", async () => {
    const out = (name: string): string => join(world.folder, name);
    const { warnings, type } = await convert(`${BEAVER}:q8_0`, out("kept.gguf"));
    expect([warnings, type]).toEqual([[], "q8_0"]);
    expect(weights(BEAVER)).toHaveLength(7);
    rmSync(world.cache, { recursive: true });
    await convert(BEAVER, out("discarded.gguf"), { keepDownloads: false });
    expect(weights(BEAVER)).toEqual([]);
    expect(sha(out("discarded.gguf"))).toBe(sha(out("kept.gguf")));
    expect(sha(await resolveSource(BEAVER, {}))).toBe(sha(out("kept.gguf")));
    expect(readdirSync(world.folder).filter((name) => name.startsWith("."))).toEqual([]);
  });

  it("needs the directory before it downloads", async () => {
    await refused(convert(BEAVER, join(world.folder, "none", "a.gguf")), "ERR_NOT_FOUND", "none");
    expect(world.hub.requests).toEqual([]);
    expect(existsSync(join(world.folder, "none"))).toBe(false);
  });
});
