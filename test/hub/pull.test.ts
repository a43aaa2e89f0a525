/** Pulling from a hub that does all as it should: which files, where they lie, and what is asked for. */
import { createHash, randomBytes } from "node:crypto";
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { pull } from "../../lib/hub/pull.ts";
import type { DownloadProgress } from "../../lib/hub/types.ts";
import { TOKEN } from "./server.ts";
import { hubWorld, QUICK, snapshotOf } from "./support.ts";

const world = hubWorld();

const sha256 = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");
/** What `git hash-object` prints. */
const gitId = (bytes: Buffer): string =>
  createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");

const CONFIG = Buffer.from('{"architectures": ["LlamaForScore"]}\n');
const SHARDS = [randomBytes(300_000), randomBytes(200_001)] as const;
const INDEX = Buffer.from(
  JSON.stringify({ weight_map: { b: "model-00002-of-00002.safetensors", a: "model-00001-of-00002.safetensors" } }),
);
const REPOSITORY = {
  "README.md": "# Model",
  "config.json": CONFIG,
  "model-00001-of-00002.safetensors": SHARDS[0],
  "model-00002-of-00002.safetensors": SHARDS[1],
  "model.safetensors.index.json": INDEX,
  "modeling_score.py": "raise SystemExit('code')",
  "pytorch_model.bin": "torch weights",
  "consolidated.safetensors": "the same weights once more",
  "tokenizer.json": "{}",
  "tokenizer.model": "sentencepiece",
  "training_args.bin": "trainer",
  "checkpoint-500/model.safetensors": "an earlier state",
};
const NEEDED = [
  "config.json",
  "model-00001-of-00002.safetensors",
  "model-00002-of-00002.safetensors",
  "model.safetensors.index.json",
  "tokenizer.json",
  "tokenizer.model",
];
const SHARD = "model-00001-of-00002.safetensors";

const files = (directory: string): string[] => readdirSync(directory, { recursive: true, encoding: "utf8" }).sort();

describe("a pull", () => {
  it("puts what is needed where all tools look for it", async () => {
    const commit = world.hub.commit("owner/plain", REPOSITORY);
    const snapshot = await snapshotOf("owner/plain");
    const directory = await pull(snapshot, QUICK);
    const folder = join(world.cache, "models--owner--plain");
    expect(directory).toBe(join(folder, "snapshots", commit));
    expect(files(directory)).toEqual(NEEDED);
    expect(readFileSync(join(directory, SHARD)).equals(SHARDS[0])).toBe(true);
    expect(readFileSync(join(directory, "config.json"))).toEqual(CONFIG);
    expect(readlinkSync(join(directory, SHARD))).toBe(join("..", "..", "blobs", sha256(SHARDS[0])));
    expect(readlinkSync(join(directory, "config.json"))).toBe(join("..", "..", "blobs", gitId(CONFIG)));
    expect(readFileSync(join(folder, "refs", "main"), "utf8")).toBe(commit);
    // huggingface_hub's own listing cache, version 1.
    const tree = JSON.parse(readFileSync(join(folder, "trees", `${commit}.json`), "utf8"));
    expect(tree.format_version).toBe(1);
    expect(tree.files["config.json"]).toEqual({ size: CONFIG.length, blob_id: gitId(CONFIG) });
    expect(tree.files[SHARD]).toMatchObject({ lfs_sha256: sha256(SHARDS[0]), lfs_size: 300_000, size: 300_000 });
    expect(files(join(folder, "blobs")).filter((name) => name.includes("incomplete"))).toEqual([]);
  });

  it("asks once for each file, and the second time for the commit alone", async () => {
    world.hub.commit("owner/plain", REPOSITORY);
    await pull(await snapshotOf("owner/plain"), QUICK);
    expect(world.hub.requests.filter(({ count }) => count > 1)).toEqual([]);
    expect(
      world.hub.requests
        .filter(({ path }) => path)
        .map(({ path }) => path)
        .sort(),
    ).toEqual([...NEEDED, ...NEEDED].sort());
    world.hub.requests.length = 0;
    await pull(await snapshotOf("owner/plain"), QUICK);
    expect(world.hub.requests.map(({ kind }) => kind)).toEqual(["info"]);
  });

  it("names settings first, then weights in order", async () => {
    world.hub.commit("owner/plain", REPOSITORY);
    const snapshot = await snapshotOf("owner/plain");
    expect(snapshot.kind).toBe("safetensors");
    expect(snapshot.files.map(({ path, weights }) => (weights ? `weights ${path}` : path))).toEqual([
      "config.json",
      "tokenizer.json",
      "tokenizer.model",
      "model.safetensors.index.json",
      `weights ${SHARD}`,
      "weights model-00002-of-00002.safetensors",
    ]);
  });

  it("reports every byte once, and each file when it is there", async () => {
    world.hub.commit("owner/plain", REPOSITORY);
    const snapshot = await snapshotOf("owner/plain");
    const events: DownloadProgress[] = [];
    const ready: string[] = [];
    await pull(snapshot, {
      ...QUICK,
      onProgress: (progress) => events.push(progress),
      onFile: ({ path, size }, { path: at }) => {
        expect(readFileSync(at).length).toBe(size);
        ready.push(path);
      },
    });
    expect([...ready].sort()).toEqual(NEEDED);
    expect(ready.slice(-2).every((path) => /^model-/.test(path))).toBe(true);
    const index = snapshot.files.find(({ path }) => path.endsWith("index.json"))?.size ?? 0;
    // The index was needed to know what else is.
    const total = snapshot.files.reduce((sum, { size }) => sum + size, 0) - index;
    expect(events.at(-1)).toEqual({ stage: "download", bytes: total, total });
    const counts = events.map(({ bytes }) => bytes);
    expect(counts).toEqual([...counts].sort((a, b) => a - b));
  });

  it("takes only config and tokenizer of a base model", async () => {
    world.hub.commit("owner/plain", REPOSITORY);
    const snapshot = await snapshotOf("owner/plain", { files: "tokenizer" });
    expect(snapshot.kind).toBeNull();
    expect(files(await pull(snapshot, QUICK))).toEqual(["config.json", "tokenizer.json", "tokenizer.model"]);
  });

  it("reads a listing of many pages", async () => {
    world.hub.commit("owner/pages", REPOSITORY);
    world.hub.pageSize = 2;
    expect((await snapshotOf("owner/pages")).files.map(({ path }) => path).sort()).toEqual(NEEDED);
    expect(world.hub.seen("tree")).toHaveLength(6);
  });

  it("downloads files in folders that the index names, and names with unusual characters", async () => {
    const path = "shards/ä b%2F#?.safetensors";
    world.hub.commit("owner/folders", {
      "config.json": CONFIG,
      "model.safetensors.index.json": JSON.stringify({ weight_map: { a: path } }),
      [path]: SHARDS[0],
    });
    const directory = await pull(await snapshotOf("owner/folders"), QUICK);
    expect(readFileSync(join(directory, path)).equals(SHARDS[0])).toBe(true);
    expect(readlinkSync(join(directory, path))).toBe(join("..", "..", "..", "blobs", sha256(SHARDS[0])));
  });

  it("takes an empty file", async () => {
    world.hub.commit("owner/empty", { "config.json": "", "model.safetensors": SHARDS[0] });
    const directory = await pull(await snapshotOf("owner/empty"), QUICK);
    expect(readFileSync(join(directory, "config.json")).length).toBe(0);
  });

  it("resolves branches with slashes, tags and commits", async () => {
    const old = world.hub.commit("owner/moves", { "config.json": "1", "model.safetensors": SHARDS[0] }, "refs/pr/1");
    const current = world.hub.commit("owner/moves", { "config.json": "2", "model.safetensors": SHARDS[0] });
    expect((await snapshotOf("owner/moves@refs/pr/1")).commit).toBe(old);
    expect((await snapshotOf("owner/moves")).commit).toBe(current);
    await pull(await snapshotOf("owner/moves@refs/pr/1"), QUICK);
    expect(readFileSync(join(world.cache, "models--owner--moves", "refs", "refs", "pr", "1"), "utf8")).toBe(old);
    world.hub.requests.length = 0;
    const byCommit = await snapshotOf(`owner/moves@${current}`);
    expect(byCommit.commit).toBe(current);
    expect(world.hub.seen("info")).toEqual([]);
    await pull(byCommit, QUICK);
    expect(existsSync(join(world.cache, "models--owner--moves", "refs", current))).toBe(false);
    // The weights are the same, so they are there.
    expect(world.hub.seen("bytes")).toEqual([]);
  });

  it("finishes the commit that was listed when the branch moves meanwhile", async () => {
    const first = world.hub.commit("owner/racing", { "config.json": "1", "model.safetensors": SHARDS[0] });
    const snapshot = await snapshotOf("owner/racing");
    world.hub.commit("owner/racing", { "config.json": "22", "model.safetensors": SHARDS[1] });
    const directory = await pull(snapshot, QUICK);
    expect(directory.endsWith(first)).toBe(true);
    expect(readFileSync(join(directory, "config.json"), "utf8")).toBe("1");
    expect(readFileSync(join(directory, "model.safetensors")).equals(SHARDS[0])).toBe(true);
  });
});

describe("what is in the cache", () => {
  const folder = (): string => join(world.cache, "models--owner--plain");

  it("is used where another tool left it", async () => {
    const commit = world.hub.commit("owner/plain", REPOSITORY);
    const blob = join(folder(), "blobs", sha256(SHARDS[0]));
    mkdirSync(dirname(blob), { recursive: true });
    writeFileSync(blob, SHARDS[0]);
    const own = join(folder(), "snapshots", commit, "config.json");
    mkdirSync(dirname(own), { recursive: true });
    writeFileSync(own, CONFIG);
    await pull(await snapshotOf("owner/plain"), QUICK);
    expect(world.hub.seen("resolve", SHARD)).toEqual([]);
    expect(world.hub.seen("resolve", "config.json")).toEqual([]);
    expect(lstatSync(own).isFile()).toBe(true);
  });

  it("is replaced where its size is wrong", async () => {
    const commit = world.hub.commit("owner/plain", REPOSITORY);
    const blob = join(folder(), "blobs", sha256(SHARDS[0]));
    mkdirSync(dirname(blob), { recursive: true });
    writeFileSync(blob, SHARDS[0].subarray(1));
    const own = join(folder(), "snapshots", commit, "config.json");
    mkdirSync(dirname(own), { recursive: true });
    writeFileSync(own, "{");
    const directory = await pull(await snapshotOf("owner/plain"), QUICK);
    expect(readFileSync(join(directory, SHARD)).equals(SHARDS[0])).toBe(true);
    expect(readFileSync(own)).toEqual(CONFIG);
  });

  it("is gone on with where an earlier process stopped", async () => {
    world.hub.commit("owner/plain", REPOSITORY);
    const partial = join(folder(), "blobs", `${sha256(SHARDS[0])}.incomplete`);
    mkdirSync(dirname(partial), { recursive: true });
    writeFileSync(partial, SHARDS[0].subarray(0, 123_456));
    const directory = await pull(await snapshotOf("owner/plain"), QUICK);
    expect(world.hub.seen("bytes", SHARD).map(({ range }) => range)).toEqual(["bytes=123456-299999"]);
    expect(readFileSync(join(directory, SHARD)).equals(SHARDS[0])).toBe(true);
    expect(existsSync(partial)).toBe(false);
  });

  it.each([
    ["damaged", (bytes: Buffer) => Buffer.from(bytes.subarray(0, 100_000)).fill(7, 500, 501)],
    ["too long", (bytes: Buffer) => Buffer.concat([bytes, bytes])],
    ["complete, but damaged", (bytes: Buffer) => Buffer.from(bytes).fill(0, 299_990)],
  ])("is thrown away where it is %s", async (_, left) => {
    world.hub.commit("owner/plain", REPOSITORY);
    const partial = join(folder(), "blobs", `${sha256(SHARDS[0])}.incomplete`);
    mkdirSync(dirname(partial), { recursive: true });
    writeFileSync(partial, left(SHARDS[0]));
    const directory = await pull(await snapshotOf("owner/plain"), QUICK);
    expect(readFileSync(join(directory, SHARD)).equals(SHARDS[0])).toBe(true);
    expect(existsSync(partial)).toBe(false);
  });

  it("needs no request where an earlier process stopped before the last step", async () => {
    world.hub.commit("owner/plain", REPOSITORY);
    const partial = join(folder(), "blobs", `${sha256(SHARDS[0])}.incomplete`);
    mkdirSync(dirname(partial), { recursive: true });
    writeFileSync(partial, SHARDS[0]);
    await pull(await snapshotOf("owner/plain"), QUICK);
    expect(world.hub.seen("bytes", SHARD)).toEqual([]);
  });

  it("holds files in place of links where links are off", async () => {
    process.env.HF_HUB_DISABLE_SYMLINKS = "1";
    world.hub.commit("owner/plain", REPOSITORY);
    const directory = await pull(await snapshotOf("owner/plain"), QUICK);
    expect(lstatSync(join(directory, SHARD)).isFile()).toBe(true);
    expect(readFileSync(join(directory, SHARD)).equals(SHARDS[0])).toBe(true);
    // Moved, and not there twice.
    expect(existsSync(join(folder(), "blobs", sha256(SHARDS[0])))).toBe(false);
    world.hub.requests.length = 0;
    await pull(await snapshotOf("owner/plain"), QUICK);
    expect(world.hub.requests.map(({ kind }) => kind)).toEqual(["info"]);
  });
});

describe("the environment", () => {
  it("names the cache", async () => {
    world.hub.commit("owner/plain", REPOSITORY);
    const elsewhere = join(world.cache, "..", "elsewhere");
    process.env.HF_HUB_CACHE = elsewhere;
    expect((await snapshotOf("owner/plain")).directory.startsWith(join(elsewhere, "models--owner--plain"))).toBe(true);
    delete process.env.HF_HUB_CACHE;
    delete process.env.HF_HOME;
    process.env.XDG_CACHE_HOME = elsewhere;
    const { directory } = await snapshotOf("owner/plain");
    expect(directory.startsWith(join(elsewhere, "huggingface", "hub", "models--owner--plain"))).toBe(true);
  });

  it("gives the token, by variable or by file", async () => {
    world.hub.commit("owner/secret", { "config.json": CONFIG, "model.safetensors": SHARDS[0] });
    world.hub.repository("owner/secret").access = "private";
    process.env.HF_TOKEN = `${TOKEN}\n`;
    await pull(await snapshotOf("owner/secret"), QUICK);
    delete process.env.HF_TOKEN;
    process.env.HF_HUB_CACHE = join(world.cache, "another");
    mkdirSync(dirname(world.cache), { recursive: true });
    writeFileSync(join(world.cache, "..", "token"), `${TOKEN}\n`);
    await pull(await snapshotOf("owner/secret"), QUICK);
    const authorizations = (kind: "info" | "bytes"): unknown[] =>
      world.hub.seen(kind).map((seen) => seen.authorization);
    expect(authorizations("info")).toEqual([`Bearer ${TOKEN}`, `Bearer ${TOKEN}`]);
    expect(authorizations("bytes")).toEqual([null, null]);
  });
});
