/** The cache is shared: what is pulled here other tools find, and what they downloaded is used. */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { downloadFileToCacheDir, scanCacheDir, snapshotDownload } from "@huggingface/hub";
import { beforeEach, expect, it } from "vitest";
import { pull } from "../../lib/hub/pull.ts";
import { hubWorld, QUICK, snapshotOf } from "./support.ts";

const world = hubWorld();
const WEIGHTS = randomBytes(100_000);
const FILES = { "config.json": "{}", "README.md": "# Model", "model.safetensors": WEIGHTS };

let commit: string;
beforeEach(() => {
  commit = world.hub.commit("owner/model", FILES);
});

const place = () => ({ repo: "owner/model", hubUrl: world.hub.endpoint, cacheDir: world.cache });

it("@huggingface/hub lists what is pulled here", async () => {
  await pull(await snapshotOf("owner/model"), QUICK);
  const { repos, warnings } = await scanCacheDir(world.cache);
  expect(warnings).toEqual([]);
  expect(repos.map(({ id, filesCount, size }) => [id, filesCount, size])).toEqual([
    [{ name: "owner/model", type: "model" }, 2, WEIGHTS.length + 2],
  ]);
  expect(repos[0]?.revisions.map(({ commitOid, refs }) => [commitOid, refs])).toEqual([[commit, ["main"]]]);
});

it("@huggingface/hub does not download what is pulled here", async () => {
  const directory = await pull(await snapshotOf("owner/model"), QUICK);
  world.hub.requests.length = 0;
  const path = await downloadFileToCacheDir({ ...place(), path: "model.safetensors", revision: commit });
  expect(path).toBe(join(directory, "model.safetensors"));
  expect(world.hub.requests).toEqual([]);
});

it("what @huggingface/hub downloaded is used", async () => {
  await snapshotDownload(place());
  world.hub.requests.length = 0;
  const directory = await pull(await snapshotOf("owner/model"), QUICK);
  expect(world.hub.requests.map(({ kind }) => kind)).toEqual(["info", "tree"]);
  expect(readFileSync(join(directory, "model.safetensors")).equals(WEIGHTS)).toBe(true);
});
