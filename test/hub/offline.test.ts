/** Without network: what the cache has works, and what it lacks is an error that says so. */
import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { pull } from "../../lib/hub/pull.ts";
import { TestHub } from "./server.ts";
import { failureOf, hubWorld, QUICK, snapshotOf } from "./support.ts";

const world = hubWorld();
const OFFLINE = { ...QUICK, offline: true } as const;

const SHARDS = { "a.safetensors": randomBytes(3000), "b.safetensors": randomBytes(2000) };
const REPOSITORY = {
  "config.json": "{}",
  "tokenizer.json": "[]",
  "model.safetensors.index.json": JSON.stringify({ weight_map: { x: "a.safetensors", y: "b.safetensors" } }),
  ...SHARDS,
};

/** The cache has this model, and there is no network. */
async function pulled(): Promise<string> {
  world.hub.commit("owner/model", REPOSITORY);
  const directory = await pull(await snapshotOf("owner/model"), QUICK);
  const gone = await TestHub.start();
  process.env.HF_ENDPOINT = gone.endpoint;
  await gone.close();
  return directory;
}

describe("everything cached", () => {
  it("works where the network is forbidden", async () => {
    const directory = await pulled();
    world.hub.requests.length = 0;
    process.env.HF_ENDPOINT = world.hub.endpoint;
    expect(await pull(await snapshotOf("owner/model", OFFLINE), OFFLINE)).toBe(directory);
    process.env.HF_HUB_OFFLINE = "1";
    expect(await pull(await snapshotOf("owner/model"), QUICK)).toBe(directory);
    expect(world.hub.requests).toEqual([]);
  });

  it("works where the hub cannot be reached, at once and with a warning", async () => {
    const directory = await pulled();
    const warnings: string[] = [];
    const options = { retryDelay: 60_000, onWarning: (message: string) => warnings.push(message) };
    const snapshot = await snapshotOf("owner/model", options);
    expect(snapshot.online).toBe(false);
    expect(await pull(snapshot, options)).toBe(directory);
    expect(warnings).toEqual([expect.stringMatching(/ECONNREFUSED.*Using what the cache remembers of owner\/model/)]);
  });

  it("works by commit without asking", async () => {
    const directory = await pulled();
    const commit = directory.slice(-40);
    expect(await pull(await snapshotOf(`owner/model@${commit}`), QUICK)).toBe(directory);
  });

  it("works as other tools leave it, without a listing", async () => {
    const directory = await pulled();
    const commit = directory.slice(-40);
    rmSync(join(directory, "..", "..", "trees"), { recursive: true });
    expect(await pull(await snapshotOf("owner/model", OFFLINE), OFFLINE)).toBe(directory);
    expect(await pull(await snapshotOf("owner/model"), QUICK)).toBe(directory);
    expect(await pull(await snapshotOf(`owner/model@${commit}`), QUICK)).toBe(directory);
  });

  it("is the commit that was pulled last, also when the branch has moved and its pull broke off", async () => {
    world.hub.commit("owner/model", REPOSITORY);
    const directory = await pull(await snapshotOf("owner/model"), QUICK);
    world.hub.commit("owner/model", { ...REPOSITORY, "b.safetensors": randomBytes(2000) });
    world.hub.fault = ({ kind, path }) => (kind === "bytes" && path === "b.safetensors" ? { cutAfter: 0 } : null);
    await failureOf(async () => pull(await snapshotOf("owner/model"), QUICK));
    expect(await pull(await snapshotOf("owner/model", OFFLINE), OFFLINE)).toBe(directory);
  });
});

describe("what is not cached", () => {
  it("is a repository or revision that was never pulled", async () => {
    await pulled();
    for (const name of ["owner/other", "owner/model@v2"]) {
      const error = await failureOf(() => snapshotOf(name, OFFLINE));
      expect(error.code).toBe("ERR_OFFLINE");
      expect(error.message).toContain("--offline or HF_HUB_OFFLINE");
    }
    expect((await failureOf(() => snapshotOf("owner/other"))).code).toBe("ERR_NETWORK");
    expect((await failureOf(() => snapshotOf(`owner/model@${"1".repeat(40)}`, OFFLINE))).code).toBe("ERR_OFFLINE");
  });

  it.each(["a.safetensors", "tokenizer.json", "model.safetensors.index.json"])(
    "is %s of a listed commit",
    async (path) => {
      const directory = await pulled();
      rmSync(join(directory, path));
      const error = await failureOf(() => snapshotOf("owner/model", OFFLINE));
      expect(error.code).toBe("ERR_OFFLINE");
      expect(error.message).toContain(path);
      const unreachable = await failureOf(() => snapshotOf("owner/model"));
      expect(unreachable.code).toBe("ERR_NETWORK");
      expect(unreachable.message).toContain(path);
    },
  );

  it("is a shard that is not there under its full size, without a listing", async () => {
    const directory = await pulled();
    rmSync(join(directory, "..", "..", "trees"), { recursive: true });
    rmSync(join(directory, "b.safetensors"));
    const error = await failureOf(() => snapshotOf("owner/model", OFFLINE));
    expect([error.code, error.message]).toEqual(["ERR_OFFLINE", expect.stringContaining("b.safetensors")]);
  });

  it("is everything where a link leads nowhere", async () => {
    const directory = await pulled();
    rmSync(join(directory, "..", ".."), { recursive: true });
    mkdirSync(directory, { recursive: true });
    mkdirSync(join(directory, "..", "..", "refs"));
    writeFileSync(join(directory, "..", "..", "refs", "main"), directory.slice(-40));
    symlinkSync(join("..", "..", "blobs", "gone"), join(directory, "model.safetensors"));
    expect((await failureOf(() => snapshotOf("owner/model", OFFLINE))).code).toBe("ERR_OFFLINE");
  });
});

describe("a listing in the cache", () => {
  it.each([
    "",
    "{",
    "[]",
    '{"format_version": 2, "files": {}}',
    '{"format_version": 1, "files": {"a": {"size": "1"}}}',
  ])("that is %j is asked for again", async (text) => {
    const commit = world.hub.commit("owner/model", REPOSITORY);
    const path = join(world.cache, "models--owner--model", "trees", `${commit}.json`);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    await pull(await snapshotOf("owner/model"), QUICK);
    expect(JSON.parse(readFileSync(path, "utf8")).files["config.json"].size).toBe(2);
  });

  it("may name no file outside either", async () => {
    const commit = world.hub.commit("owner/model", REPOSITORY);
    const path = join(world.cache, "models--owner--model", "trees", `${commit}.json`);
    mkdirSync(dirname(path), { recursive: true });
    const file = { size: 1, blob_id: "0".repeat(40) };
    const index = "model.safetensors.index.json";
    const listed = { size: REPOSITORY[index].length, blob_id: "0".repeat(40) };
    writeFileSync(path, JSON.stringify({ format_version: 1, files: { "../a.safetensors": file, [index]: listed } }));
    const folder = join(world.cache, "models--owner--model", "snapshots", commit);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, index), JSON.stringify({ weight_map: { x: "../a.safetensors" } }).padEnd(listed.size));
    expect((await failureOf(() => snapshotOf("owner/model"))).code).toBe("ERR_HUB");
  });
});
