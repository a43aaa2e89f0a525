/** Models by name: got, converted and scored right; once; and refused before they cost anything. */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  convert,
  type DownloadPlan,
  doctor,
  inspect,
  listModels,
  type Progress,
  planCheckpoint,
  ScoreModel,
} from "../../lib/index.ts";
import { resolveSource } from "../../lib/source/resolve.ts";
import { loadGolden } from "../fixtures/golden.ts";
import { refused } from "../gguf/support.ts";
import { TOKEN } from "../hub/server.ts";
import { expectResults, READ_LAST } from "../model/expect-golden.ts";
import { rewriteGguf } from "../model/rewrite.ts";
import { BASE, PUBLISHED, publishedWorld } from "./published.ts";

const world = publishedWorld();

const CPU = { device: "cpu", threads: 1, kv: "f32" } as const;
const BEAVER = PUBLISHED.beaver.repository;
const STARLING = PUBLISHED.starling.repository;

const commitOf = (repository: string): string => world.hub.repository(repository).refs.get("main") ?? "";
const snapshotDirectory = (repository: string): string =>
  join(world.cache, `models--${repository.replace("/", "--")}`, "snapshots", commitOf(repository));
const sha = (file: string): string => createHash("sha256").update(readFileSync(file)).digest("hex");
/** Everything under the cache of converted models. */
const converted = (): string[] =>
  (existsSync(world.converted) ? readdirSync(world.converted, { recursive: true }) : []).map(String);
/** How many times the largest file was asked for whole, and not by ranges. */
const downloads = (path = "model-00001-of-00007.safetensors"): number =>
  world.hub.seen("bytes", path).filter(({ range }) => range === null).length;

describe("load by name scores right", () => {
  it.each([
    ["beaver", "f32", 2e-5],
    ["beaver", "auto", 1e-2],
    ["starling", "f32", 2e-5],
    ["dpa", "f32", 2e-5],
  ] as const)("%s as %s", async (key, type, bound) => {
    process.env.HF_TOKEN = TOKEN;
    const { repository, fixture } = PUBLISHED[key];
    const { results } = loadGolden(fixture);
    await using model = await ScoreModel.load(`${repository}:${type}`, CPU);
    const texts = results.map(({ text }) => text);
    expectResults(await model.score(texts, READ_LAST), results, bound);
    expect(model.info.profile).toBe({ beaver: "beaver-cost", starling: "starling", dpa: "dpa" }[key]);
    expect((await inspect(model.info.path)).head?.source).toEqual({ repository, revision: commitOf(repository) });
  });

  it("as q8_0 where no type is named", async () => {
    const { results } = loadGolden("beaver-cost");
    await using model = await ScoreModel.load(BEAVER, { device: "cpu", threads: 1 });
    const texts = results.map(({ text }) => text);
    expectResults(await model.score(texts, READ_LAST), results, 4e-2);
    expect(await listModels()).toMatchObject([{ name: BEAVER, type: "q8_0", commit: commitOf(BEAVER) }]);
  });
});

describe("a conversion", () => {
  it("is that of the downloaded directory, byte for byte", async () => {
    const path = await resolveSource(`${BEAVER}:f16`, {});
    const file = join(world.converted, "direct.gguf");
    await convert(snapshotDirectory(BEAVER), file, { type: "f16" });
    expect(sha(path)).toBe(sha(file));
  });

  it("is made once: the second time the hub is asked for the commit alone", async () => {
    const path = await resolveSource(BEAVER, {});
    world.hub.requests.length = 0;
    expect(await resolveSource(BEAVER, {})).toBe(path);
    expect(world.hub.requests.map(({ kind }) => kind)).toEqual(["info"]);
    expect(await resolveSource(`${BEAVER}:Q8_0`, {})).toBe(path);
    expect(await resolveSource(`${BEAVER}@main:q8_0`, {})).toBe(path);
    world.hub.requests.length = 0;
    expect(await resolveSource(`${BEAVER}@${commitOf(BEAVER)}`, {})).toBe(path);
    expect(world.hub.requests).toEqual([]);
  });

  it("is made once for several that ask at the same time", async () => {
    const warnings: string[] = [];
    const onWarning = (message: string) => warnings.push(message);
    const paths = await Promise.all([1, 2, 3].map(() => resolveSource(BEAVER, { onWarning })));
    expect(new Set(paths).size).toBe(1);
    expect(downloads()).toBe(1);
    // Whoever comes when it is made already need not wait.
    for (const warning of warnings) expect(warning).toContain("Another process is converting");
  });

  it("is another one of another type, profile or tokenizer", async () => {
    const paths = [
      await resolveSource(`${BEAVER}:f16`, {}),
      await resolveSource(`${BEAVER}:f32`, {}),
      await resolveSource(`${BEAVER}:f16`, { profile: "beaver-reward" }),
      await resolveSource(`${BEAVER}:f16`, { tokenizer: join(world.folder, "beaver-cost") }),
      await resolveSource(`${BEAVER}:f16`, { tokenizer: BEAVER }),
    ];
    expect(new Set(paths).size).toBe(5);
    // All of one download.
    expect(downloads()).toBe(1);
    await using model = await ScoreModel.load(paths[2] as string, CPU);
    expect(model.info.type).toBe("reward");
  });

  it("uses files that other tools have put into the hub cache", async () => {
    await resolveSource(BEAVER, {});
    rmSync(world.converted, { recursive: true });
    world.hub.requests.length = 0;
    await resolveSource(BEAVER, {});
    expect(world.hub.seen("bytes")).toEqual([]);
  });

  it("tells its plan, then how far it is", async () => {
    const told: (DownloadPlan | Progress)[] = [];
    const hear = (event: DownloadPlan | Progress) => told.push(event);
    const path = await resolveSource(`${BEAVER}:q4_0`, { onPlan: hear, onProgress: hear });
    const size = readFileSync(path).length;
    const [plan, ...progress] = told as [DownloadPlan, ...Progress[]];
    const weights = readdirSync(snapshotDirectory(BEAVER)).filter((name) => name.endsWith(".safetensors"));
    const bytes = weights.reduce((sum, name) => sum + readFileSync(join(snapshotDirectory(BEAVER), name)).length, 0);
    expect(plan).toMatchObject({
      repository: BEAVER,
      commit: commitOf(BEAVER),
      keepDownloads: true,
      downloadBytes: bytes,
    });
    expect(plan.resultBytes).toBeGreaterThanOrEqual(size);
    expect(plan.resultBytes).toBeLessThan(size * 1.01);
    for (const stage of ["download", "convert", "quantize"] as const) {
      const steps = progress.filter((event) => event.stage === stage);
      expect(steps.length, stage).toBeGreaterThan(1);
      expect(steps.at(-1)?.bytes, stage).toBe(steps.at(-1)?.total);
      const values = steps.map((event) => event.bytes);
      expect(values, stage).toEqual([...values].sort((a, b) => a - b));
    }
    expect(progress.find(({ stage }) => stage === "download")?.total).toBe(bytes);
  });

  it("goes on while the rest is downloaded", async () => {
    let release = (): void => {};
    const half = new Promise<void>((resolve) => {
      release = resolve;
    });
    // The first request is for its header.
    world.hub.fault = ({ kind, path, count }) =>
      kind === "bytes" && path === "model-00002-of-00007.safetensors" && count === 2 ? { after: half } : null;
    await resolveSource(`${BEAVER}:bf16`, {
      onProgress: ({ stage, bytes, total }) => {
        if (stage === "convert" && bytes > total / 2) release();
      },
    });
  });
});

describe("Starling's tokenizer", () => {
  it("is its base model's, which is gated: the error says so, and the ways round it", async () => {
    await refused(resolveSource(STARLING, {}), "ERR_HUB_ACCESS", BASE, "is gated", "HF_TOKEN", "--tokenizer");
    // Before the weights.
    expect(world.hub.seen("bytes")).toEqual([]);
    expect(converted()).toEqual([]);
    const tokenizer = join(world.folder, "base");
    await using model = await ScoreModel.load(`${STARLING}:f32`, { ...CPU, tokenizer });
    const { results } = loadGolden("starling");
    expectResults(await model.score([results[0]?.text ?? ""], READ_LAST), results.slice(0, 1), 2e-5);
  });

  it("may be named by its repository, for a directory as well", async () => {
    world.hub.repository(BASE).access = "public";
    try {
      await world.hub.commitDirectory("me/llama-tokenizer", join(world.folder, "base"));
      const named = { tokenizer: "me/llama-tokenizer" };
      const path = await resolveSource(`${STARLING}:f16`, named);
      const direct = join(world.converted, "direct.gguf");
      await convert(join(world.folder, "starling"), direct, { ...named, profile: "starling", type: "f16" });
      const tokens = async (file: string) => (await inspect(file)).tokenizer;
      expect(await tokens(path)).toEqual(await tokens(direct));
      expect(await resolveSource(join(world.folder, "starling"), named)).toContain("starling");
      await refused(resolveSource(STARLING, { tokenizer: "me/none" }), "ERR_HUB_ACCESS", "me/none");
      await refused(resolveSource(STARLING, { tokenizer: "/none" }), "ERR_NOT_FOUND", "/none", "owner/name");
    } finally {
      world.hub.repository(BASE).access = "gated";
    }
  });
});

describe("a repository's own GGUF file", () => {
  const publish = async (): Promise<string> => {
    const file = join(world.folder, "cost.q8_0.gguf");
    if (!existsSync(file)) await convert(join(world.folder, "beaver-cost"), file, { type: "q8_0" });
    const bytes = readFileSync(file);
    world.hub.commit("me/cost-GGUF", { "cost.Q8_0.gguf": bytes, "cost.Q4_K_M.gguf": "another", "README.md": "" });
    return file;
  };

  it("is used as it is", async () => {
    const file = await publish();
    const path = await resolveSource("me/cost-GGUF", {});
    expect(sha(path)).toBe(sha(file));
    expect(path).toBe(join(snapshotDirectory("me/cost-GGUF"), "cost.Q8_0.gguf"));
    expect(await resolveSource("me/cost-GGUF:q8_0", { offline: true })).toBe(path);
    expect(converted()).toEqual([]);
    await refused(resolveSource("me/cost-GGUF", { tokenizer: BASE }), "ERR_ARGUMENT", "cost.Q8_0.gguf", "Leave it out");
    await refused(convert("me/cost-GGUF", join(world.folder, "x.gguf")), "ERR_CHECKPOINT", "cost.Q8_0.gguf");
  });

  it("without a head is refused before it is downloaded", async () => {
    const file = join(world.folder, "bare.gguf");
    await convert(join(world.folder, "beaver-cost"), join(world.folder, "cost.f32.gguf"), { type: "f32" });
    await rewriteGguf(join(world.folder, "cost.f32.gguf"), file, {
      metadata: (metadata) => {
        for (const key of [...metadata.keys()]) if (key.startsWith("scorehead.")) metadata.delete(key);
      },
    });
    world.hub.commit("me/bare-GGUF", { "bare.f32.gguf": readFileSync(file) });
    await refused(resolveSource("me/bare-GGUF", {}), "ERR_NO_HEAD", "no score head", "scorehead convert");
    expect(downloads("bare.f32.gguf")).toBe(0);
  });
});

describe("without a download", () => {
  it("inspect tells what a repository is, and doctor what it would use", async () => {
    const report = await inspect(BEAVER);
    const local = await inspect(join(world.folder, "beaver-cost"), { profile: "beaver-cost" });
    expect(report).toMatchObject({ path: BEAVER, kind: "checkpoint", problems: [], layout: "LlamaForScore" });
    expect(report.tokenizer).toEqual(local.tokenizer);
    expect(report.bytes).toBe(local.bytes);
    expect(report.head).toEqual({ ...local.head, source: { repository: BEAVER, revision: commitOf(BEAVER) } });
    const { model, problems } = await doctor(BEAVER, { device: "cpu" });
    expect(problems).toEqual([]);
    const plan = await planCheckpoint(BEAVER);
    expect(plan).toMatchObject({ type: "q8_0", baseType: "Q8_0" });
    expect(downloads()).toBe(0);
    const path = await resolveSource(BEAVER, {});
    const { model: converted } = await doctor(BEAVER, { device: "cpu" });
    expect(converted?.weightBytes).toBe((await doctor(path, { device: "cpu" })).model?.weightBytes);
    expect(model?.weightBytes).toBe(converted?.weightBytes);
  });

  it("a torch file cannot be told of", async () => {
    process.env.HF_TOKEN = TOKEN;
    await refused(inspect(STARLING), "ERR_UNSUPPORTED", "torch file");
    await refused(planCheckpoint(STARLING), "ERR_UNSUPPORTED", "torch file");
    await resolveSource(STARLING, {});
    expect(await inspect(STARLING)).toMatchObject({ problems: [], layout: "GPTRewardModel" });
  });

  it("what cannot be converted is refused", async () => {
    const directory = join(world.folder, "beaver-cost");
    const files = Object.fromEntries(readdirSync(directory).map((name) => [name, readFileSync(join(directory, name))]));
    const config = JSON.parse(String(files["config.json"]));
    world.hub.commit("me/odd-beaver-cost", {
      ...files,
      "config.json": JSON.stringify({ ...config, hidden_act: "gelu" }),
    });
    await refused(resolveSource("me/odd-beaver-cost", {}), "ERR_UNSUPPORTED", "hidden_act");
    expect(downloads()).toBe(0);
    expect(converted()).toEqual([]);
  });
});

describe("what was read before the download is held against it", () => {
  const [FIRST, HEAD] = ["model-00001-of-00007.safetensors", "model-00007-of-00007.safetensors"];

  it.each([
    ["a header", FIRST, 40, /^ERR_(CHECKSUM|SAFETENSORS|CHECKPOINT|TENSOR)$/],
    // The file's last byte is the head's bias.
    ["the head", HEAD, 533, /^ERR_CHECKSUM$/],
  ])("%s with a flipped bit converts to nothing", async (_, file, flipAt, code) => {
    world.hub.fault = ({ kind, path, count }) => (kind === "bytes" && path === file && count === 1 ? { flipAt } : null);
    const failure = await resolveSource(`${BEAVER}:f16`, {}).catch((error: unknown) => error);
    expect((failure as { code?: string }).code).toMatch(code);
    expect(converted()).toEqual([]);
    world.hub.fault = () => null;
    const path = await resolveSource(`${BEAVER}:f16`, {});
    await using model = await ScoreModel.load(path, CPU);
    const { results } = loadGolden("beaver-cost");
    expectResults(await model.score([results[0]?.text ?? ""], READ_LAST), results.slice(0, 1), 1e-2);
  });
});

describe("names", () => {
  it("an existing path goes first", async () => {
    const directory = process.cwd();
    process.chdir(world.folder);
    try {
      await convert("beaver-cost", "a.gguf");
      await refused(resolveSource("beaver-cost/config.json", {}).then(inspect), "ERR_GGUF");
      expect(world.hub.requests).toEqual([]);
    } finally {
      process.chdir(directory);
    }
  });

  it.each([
    ["PKU-Alignment/beaver-7b-v1.0-cost:q9", "ERR_ARGUMENT", "q9"],
    ["nobody/nothing", "ERR_HUB_ACCESS", "nobody/nothing"],
    [`${BEAVER}@v9`, "ERR_NOT_FOUND", "v9"],
    ["models/cost.gguf", "ERR_NOT_FOUND", "models/cost.gguf"],
    ["beaver", "ERR_NOT_FOUND", "owner/name"],
    ["a/b/c", "ERR_NOT_FOUND", "owner/name"],
    ["../a", "ERR_NOT_FOUND", "owner/name"],
    ["", "ERR_ARGUMENT", "path"],
  ] as const)("%j: %s", async (name, code, part) => {
    await refused(ScoreModel.load(name), code, part);
    expect(converted()).toEqual([]);
  });

  it("a type said twice is refused where it differs", async () => {
    const out = join(world.folder, "twice.gguf");
    await refused(convert(`${BEAVER}:q8_0`, out, { type: "f16" }), "ERR_ARGUMENT", "q8_0", "f16");
    expect(existsSync(out)).toBe(false);
  });
});
