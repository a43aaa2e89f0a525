/** Commands with a model's name on the hub, and the care of the cache: what they print, and how they end. */
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { formatBytes } from "../../lib/cli/format.ts";
import { loadGolden } from "../fixtures/golden.ts";
import { scoreSpreads } from "../model/numbers.ts";
import { PUBLISHED, publishedWorld } from "../source/published.ts";
import { jsonLines, outcome, runCli, startCli } from "./run.ts";

const world = publishedWorld();

const BEAVER = PUBLISHED.beaver.repository;
const golden = loadGolden(PUBLISHED.beaver.fixture);
const [{ text, endScores }] = golden.results as [(typeof golden.results)[0]];
const commit = (): string => world.hub.repository(BEAVER).refs.get("main") ?? "";
const weights = (): string[] =>
  readdirSync(join(world.cache, `models--${BEAVER.replace("/", "--")}`, "snapshots", commit())).filter((name) =>
    name.endsWith(".safetensors"),
  );

const score = (...more: string[]): string[] => {
  return ["score", BEAVER, "--text", String(text), "--json", "--device", "cpu", "--threads", "1", ...more];
};

describe("score by name", () => {
  test("tells its plan before it downloads, scores right, and the second time has nothing to tell", async () => {
    const first = await runCli(score());
    expect(first.code, first.stderr).toBe(0);
    expect(first.stderr).toMatch(
      new RegExp(
        `^${BEAVER} at ${commit().slice(0, 8)}: 4\\.\\d\\d MB to download, 3\\.0\\d MB result, at most 7\\.\\d\\d MB of disk at once\\n$`,
      ),
    );
    const [line] = jsonLines(first.stdout) as [{ endScores: number[]; type: string }];
    expect(line.type).toBe("cost");
    const error = Math.abs((line.endScores[0] as number) - (endScores[0] as number));
    expect(error / (scoreSpreads(golden)[0] as number)).toBeLessThan(4e-2);
    expect(await runCli(score())).toEqual({ ...first, stderr: "" });
    expect(await runCli(score("--offline"), { env: { HF_ENDPOINT: "http://127.0.0.1:9" } })).toEqual({
      ...first,
      stderr: "",
    });
  });

  test("--discard-downloads says so, and leaves the converted model alone", async () => {
    const { code, stderr } = await runCli(score("--discard-downloads"));
    expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringContaining("downloads are removed") });
    expect(weights()).toEqual([]);
  });

  test("--offline, with nothing there, is an error", async () => {
    const { code, stderr, stdout } = await runCli(score("--offline"));
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(/^error: .*--offline.*\(ERR_OFFLINE\)\n$/);
  });

  test("an unknown type is wrong usage", async () => {
    expect(await runCli(["score", `${BEAVER}:q9`, "--text", "a"])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("q4_k_m"),
    });
  });

  test("Ctrl-C ends it, and what was downloaded is not downloaded again", async () => {
    let silent = (): void => {};
    const fallen = new Promise<void>((resolve) => {
      silent = resolve;
    });
    const shard = "model-00001-of-00007.safetensors";
    world.hub.fault = ({ kind, path, count }) => {
      if (kind !== "bytes" || path !== shard || count !== 2) return null;
      silent();
      return { hangAfter: 3_000_000 };
    };
    const child = startCli(score());
    const ended = outcome(child);
    await fallen;
    const blobs = join(world.cache, `models--${BEAVER.replace("/", "--")}`, "blobs");
    const partial = (): boolean =>
      readdirSync(blobs).some((name) => name.endsWith(".incomplete") && statSync(join(blobs, name)).size > 1_000_000);
    while (!partial()) await new Promise((resolve) => setTimeout(resolve, 20));
    child.kill("SIGINT");
    expect(await ended).toMatchObject({ signal: "SIGINT", stdout: "" });
    expect(existsSync(world.converted) ? readdirSync(world.converted) : []).toEqual([]);
    world.hub.requests.length = 0;
    world.hub.fault = () => null;
    expect(await runCli(score())).toMatchObject({ code: 0 });
    // The first request is for its header.
    expect(world.hub.seen("bytes", shard).map(({ range }) => range)).toEqual([
      "bytes=0-262143",
      expect.stringMatching(/^bytes=[1-9]\d{6}-/),
    ]);
  });
});

test("convert and inspect take a name, and --dry-run writes nothing", async () => {
  const dry = await runCli(["convert", BEAVER, "--dry-run"]);
  expect(dry.code, dry.stderr).toBe(0);
  expect(dry.stderr).toContain("MB to download");
  expect(dry.stdout).toMatch(/^type +q8_0$/m);
  expect(dry.stdout).toMatch(/^size +2\.33 MB of tensors in Q8_0$/m);
  const inspected = await runCli(["inspect", BEAVER]);
  expect(inspected).toMatchObject({ code: 0, stdout: expect.stringMatching(/^kind +checkpoint$/m) });
  expect(weights()).toEqual([]);
  const out = join(world.folder, "named.gguf");
  const { code, stdout } = await runCli(["convert", BEAVER, "-o", out, "--type", "f16"]);
  expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringMatching(/^type +f16$/m) });
  expect((await runCli(["inspect", out])).stdout).toContain(`${BEAVER} at ${commit()}`);
  rmSync(out);
});

test("list, remove and prune", async () => {
  expect(await runCli(["list"])).toMatchObject({ code: 0, stdout: "", stderr: "There are no converted models.\n" });
  expect((await runCli(["list", "--json"])).stdout).toBe("[]\n");
  await runCli(score());
  const json = JSON.parse((await runCli(["list", "--json"])).stdout);
  const { path, bytes } = json[0];
  expect(json).toEqual([
    { name: BEAVER, commit: commit(), type: "q8_0", bytes: expect.any(Number), lastUsed: expect.any(String), path },
  ]);
  expect(Math.abs(Date.now() - Date.parse(json[0].lastUsed))).toBeLessThan(60_000);
  const listed = (await runCli(["list"])).stdout.split("\n");
  expect(listed[0]).toMatch(/^name +type +size +last use +path$/);
  expect(listed[1]).toMatch(
    /^PKU-Alignment\/beaver-7b-v1\.0-cost +q8_0 +3\.\d\d MB +20\d\d-\d\d-\d\d \d\d:\d\d +\/.*\.gguf$/,
  );
  expect((await runCli(["prune"])).stdout).toBe("0 B removed\n");
  const record = join(path, "..", "record.json");
  const text = readFileSync(record, "utf8");
  rmSync(record);
  const dry = (await runCli(["prune", "--dry-run"])).stdout;
  expect(dry).toContain("left by an interrupted conversion");
  expect(dry).toMatch(/^3\.\d\d MB would be removed$/m);
  expect(existsSync(path)).toBe(true);
  writeFileSync(record, text);
  const removed = await runCli(["remove", `${BEAVER}:q8_0`]);
  expect(removed.stdout).toContain(`${formatBytes(bytes)} removed`);
  expect(existsSync(path)).toBe(false);
  expect(await runCli(["remove", BEAVER])).toMatchObject({ code: 1, stderr: expect.stringContaining("ERR_NOT_FOUND") });
  expect(await runCli(["remove"])).toMatchObject({ code: 2 });
});
