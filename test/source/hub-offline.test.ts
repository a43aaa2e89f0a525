/** Without network: what is cached works, and what is missing is named. */
import { cpSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { convert, inspect, ScoreModel } from "../../lib/index.ts";
import { resolveSource } from "../../lib/source/resolve.ts";
import { refused } from "../gguf/support.ts";
import { TOKEN } from "../hub/server.ts";
import { PUBLISHED, publishedWorld } from "./published.ts";

const world = publishedWorld();

const BEAVER = PUBLISHED.beaver.repository;
const STARLING = PUBLISHED.starling.repository;
const offline = { offline: true } as const;
const commitOf = (repository: string): string => world.hub.repository(repository).refs.get("main") ?? "";

describe("with the network forbidden", () => {
  it("a converted model loads, downloads or not, and nobody is asked", async () => {
    process.env.HF_TOKEN = TOKEN;
    const paths = [await resolveSource(BEAVER, {}), await resolveSource(STARLING, {})];
    world.hub.requests.length = 0;
    expect([await resolveSource(BEAVER, offline), await resolveSource(STARLING, offline)]).toEqual(paths);
    rmSync(world.cache, { recursive: true });
    expect([await resolveSource(BEAVER, offline), await resolveSource(STARLING, offline)]).toEqual(paths);
    process.env.HF_HUB_OFFLINE = "1";
    await using model = await ScoreModel.load(BEAVER, { device: "cpu", threads: 1 });
    expect(model.info.path).toBe(paths[0]);
    expect(world.hub.requests).toEqual([]);
  });

  it("what is downloaded converts, to another type too", async () => {
    process.env.HF_TOKEN = TOKEN;
    await resolveSource(BEAVER, {});
    await resolveSource(STARLING, {});
    world.hub.requests.length = 0;
    const warnings: string[] = [];
    const onWarning = (message: string) => warnings.push(message);
    for (const name of [`${BEAVER}:f32`, `${STARLING}:f32`, `${BEAVER}@${commitOf(BEAVER)}:f16`])
      expect(await resolveSource(name, { ...offline, onWarning })).toMatch(/\.f(16|32)\.gguf$/);
    await convert(BEAVER, join(world.folder, "offline.gguf"), offline);
    expect((await inspect(BEAVER, offline)).problems).toEqual([]);
    expect(world.hub.requests).toEqual([]);
    expect(warnings).toEqual([]);
  });

  it("what is not there is an error that names it", async () => {
    await refused(resolveSource(BEAVER, offline), "ERR_OFFLINE", BEAVER, "--offline");
    await refused(inspect(BEAVER, offline), "ERR_OFFLINE", BEAVER);
    await resolveSource(BEAVER, { keepDownloads: false });
    await refused(resolveSource(`${BEAVER}:f16`, offline), "ERR_OFFLINE", BEAVER, "model-00001-of-00007.safetensors");
    process.env.HF_HUB_OFFLINE = "1";
    await refused(resolveSource(STARLING, {}), "ERR_OFFLINE", STARLING, "HF_HUB_OFFLINE");
    expect(readdirSync(world.converted)).toHaveLength(1);
  });
});

describe("with a hub that cannot be reached", () => {
  const home = process.env.HF_ENDPOINT;
  afterEach(() => {
    process.env.HF_ENDPOINT = home;
  });
  const cut = (): void => {
    // Nobody listens there.
    process.env.HF_ENDPOINT = "http://127.0.0.1:9";
  };

  it("the conversion of the revision's last known commit is used, with a warning", async () => {
    const path = await resolveSource(BEAVER, {});
    cut();
    const warnings: string[] = [];
    const onWarning = (message: string) => warnings.push(message);
    expect(await resolveSource(BEAVER, { onWarning })).toBe(path);
    expect(warnings).toEqual([expect.stringMatching(new RegExp(`127\\.0\\.0\\.1:9.*${commitOf(BEAVER)}`))]);
    // A commit is a commit.
    expect(await resolveSource(`${BEAVER}@${commitOf(BEAVER)}`, { onWarning })).toBe(path);
    expect(warnings).toHaveLength(1);
  });

  it("so is that of a model whose downloads are gone", async () => {
    const path = await resolveSource(BEAVER, {});
    rmSync(world.cache, { recursive: true });
    cut();
    const warnings: string[] = [];
    const quick = { onWarning: (message: string) => warnings.push(message), retryDelay: 1 };
    expect(await resolveSource(BEAVER, quick)).toBe(path);
    expect(warnings.at(-1)).toMatch(
      new RegExp(`127\\.0\\.0\\.1:9.*Using the conversion of commit ${commitOf(BEAVER)}`),
    );
    await refused(resolveSource(`${BEAVER}:f16`, quick), "ERR_NETWORK", "127.0.0.1:9");
    await refused(resolveSource(`${BEAVER}@v2`, quick), "ERR_NETWORK");
  });

  it("a newer commit that is downloaded is converted, and the older one is not taken for it", async () => {
    const path = await resolveSource(BEAVER, {});
    const before = commitOf(BEAVER);
    await world.hub.commitDirectory(BEAVER, join(world.folder, "beaver-cost"));
    try {
      await resolveSource(`${BEAVER}:f16`, {});
      cut();
      const newer = await resolveSource(BEAVER, { onWarning: () => {} });
      expect((await inspect(newer)).head?.source.revision).toBe(commitOf(BEAVER));
      expect(await resolveSource(`${BEAVER}@${before}`, {})).toBe(path);
    } finally {
      world.hub.repository(BEAVER).refs.set("main", before);
    }
  });
});

it("a directory in the hub cache is the same model as by name", async () => {
  const path = await resolveSource(`${BEAVER}:bf16`, {});
  const directory = join(world.cache, `models--${BEAVER.replace("/", "--")}`, "snapshots", commitOf(BEAVER));
  cpSync(directory, join(world.folder, "copied-beaver-cost"), { recursive: true, dereference: true });
  const head = async (file: string) => (await inspect(file)).head;
  expect(await head(await resolveSource(directory, {}))).toEqual(await head(path));
});
