/**
 * Going on after a kill with models that have more than the checkpoint's own numbers: RoPE factors that are computed,
 * and norms, queries and fused matrices that are changed on their way.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { expect, it, vi } from "vitest";
import { readGguf } from "../../lib/gguf/read.ts";
import { convert } from "../../lib/index.ts";
import { expectGolden } from "../attach/support.ts";
import { outcome, startCli } from "../cli/run.ts";
import { type CaseName, fixtureCase } from "../fixtures/cases.ts";
import { writeFixture } from "../fixtures/checkpoints.ts";
import { loadGolden } from "../fixtures/golden.ts";
import { hubWorld } from "../hub/support.ts";
import { workspace } from "../model/support.ts";

const world = hubWorld();
const { path } = workspace();
const PROFILE = "beaver-reward";
const SHARDS = [1, 2, 3].map((number) => `model-0000${number}-of-00003.safetensors`);
// Two are downloaded at a time.
const [FIRST, SECOND] = SHARDS as [string, string];
const sha = (file: string): string => createHash("sha256").update(readFileSync(file)).digest("hex");

/** A case's checkpoint on the hub, in shards whatever the case has; the weights are the same. */
async function publish(name: CaseName): Promise<string> {
  const { spec } = fixtureCase(name);
  if (!("shards" in spec)) throw new Error(`${name} has no shards.`);
  await writeFixture({ ...spec, shards: SHARDS.length }, path(name));
  const repository = `me/${name}`;
  await world.hub.commitDirectory(repository, path(name));
  return `${repository}:f32`;
}

it.each<[CaseName, string, readonly string[]]>([
  ["llama-classifier", FIRST, ["rope_freqs.weight"]],
  ["llama-longrope", SECOND, ["rope_factors_long.weight", "rope_factors_short.weight"]],
  ["phi3-longrope", FIRST, ["rope_factors_long.weight", "rope_factors_short.weight"]],
  ["qwen2-classifier", FIRST, []],
  ["gemma2-classifier", SECOND, []],
])("%s, killed when %s is written, becomes the file that it would have been", async (name, first, computed) => {
  mkdirSync(path(`${name}.work`));
  const file = (ending: string): string => path(`${name}.work`, ending);
  const source = await publish(name);
  await convert(source, file("whole.gguf"), { profile: PROFILE });
  // Headers and the head's numbers are read first, and the file last.
  const reads = new Map(SHARDS.map((name) => [name, world.hub.seen("bytes", name).length]));
  process.env.HF_HOME = file("hf");
  world.hub.requests.length = 0;

  // In the process that is killed the shard breaks off once, and the others do not come.
  let release = (): void => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  world.hub.fault = ({ kind, path, count }) => {
    if (kind !== "bytes" || count < (reads.get(path) ?? Number.POSITIVE_INFINITY)) return null;
    if (path !== first) return { after: held };
    return count === reads.get(path) ? { cutAfter: 1000 } : null;
  };
  const args = ["convert", source, "-o", file("out.gguf"), "--profile", PROFILE, "--discard-downloads"];
  const child = startCli(args);
  const ended = outcome(child);
  const journal = file(".out.gguf.partial.json");
  const done = (): string[] => (existsSync(journal) ? JSON.parse(readFileSync(journal, "utf8")).done : []);
  await vi.waitFor(() => expect(done()).toEqual([first]), { timeout: 30_000, interval: 20 });
  child.kill("SIGKILL");
  expect((await ended).signal).toBe("SIGKILL");
  expect(existsSync(file("out.gguf"))).toBe(false);
  release();

  world.hub.fault = () => null;
  world.hub.requests.length = 0;
  await convert(source, file("out.gguf"), { profile: PROFILE, keepDownloads: false });
  expect(world.hub.seen("bytes", first).length).toBeLessThan(reads.get(first) as number);
  expect(sha(file("out.gguf"))).toBe(sha(file("whole.gguf")));
  const names = (await readGguf(file("out.gguf"))).tensors.map(({ name }) => name);
  expect(names.filter((name) => name.startsWith("rope_")).sort()).toEqual(computed);
  await expectGolden(file("out.gguf"), loadGolden(name).results);
});
