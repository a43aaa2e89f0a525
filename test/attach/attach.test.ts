/** Heads for files of other tools: the reference's scores, in a new file, in place and at load; and what is refused. */
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readGguf } from "../../lib/gguf/read.ts";
import { attach, inspect, quantize, ScoreModel } from "../../lib/index.ts";
import { loadGolden } from "../fixtures/golden.ts";
import { refused } from "../gguf/support.ts";
import { workspace } from "../model/support.ts";
import { EXACT, expectGolden, foreignFile, headDirectory, headFile, plain, writeFloats } from "./support.ts";

const space = workspace();
const { checkpoint, gguf, path } = space;

const sha = (file: string): string => createHash("sha256").update(readFileSync(file)).digest("hex");

describe("a head has the reference's scores on a backbone of another tool", () => {
  it("as a safetensors file, attached to a new file", async () => {
    const [backbone, head, out] = [
      await foreignFile(space, "beaver-cost"),
      await headFile(space, "beaver-cost"),
      path("a.gguf"),
    ];
    const before = sha(backbone);
    const { head: spec, dropped, warnings } = await attach(backbone, out, { head, type: "cost", read: "last-token" });
    expect(spec).toMatchObject({
      profile: "custom",
      type: "cost",
      labels: ["cost"],
      read: "last-token",
      maxLength: 2048,
    });
    expect([dropped, warnings]).toEqual([[], []]);
    expect(sha(backbone)).toBe(before);
    await expectGolden(out, plain("beaver-cost"));
    expect((await inspect(out)).problems).toEqual([]);
  });

  it("used at load, without a file being written", async () => {
    const [file, head] = [await foreignFile(space, "beaver-cost"), await headFile(space, "beaver-cost")];
    const before = [sha(file), readdirSync(path("."))];
    await expectGolden(file, plain("beaver-cost"), { head });
    expect([sha(file), readdirSync(path("."))]).toEqual(before);
  });

  it("with the checkpoint's tokenizer files for every text, special tokens and spaces included", async () => {
    const { results } = loadGolden("beaver-cost");
    const { tokenizerDirectory: tokenizer } = await checkpoint("beaver-cost");
    const [file, head] = [await foreignFile(space, "beaver-cost"), await headFile(space, "beaver-cost")];
    await attach(file, path("b.gguf"), { head, tokenizer });
    await expectGolden(path("b.gguf"), results);
    await expectGolden(file, results, { head, tokenizer });
  });

  it("as a directory that holds the head only, with its profile and normaliser", async () => {
    const head = await headDirectory(space, "beaver-normalized-cost", "beaver-7b-v9-cost");
    const file = await foreignFile(space, "beaver-normalized-cost");
    const { head: spec, warnings } = await attach(file, path("c.gguf"), { head });
    expect(spec).toMatchObject({ profile: "beaver-cost", type: "cost", normalizer: { function: "cost" } });
    expect(warnings).toEqual([]);
    await expectGolden(path("c.gguf"), plain("beaver-normalized-cost"));
    await expectGolden(file, plain("beaver-normalized-cost"), { head });
  });

  it.each(["grm", "inform"] as const)("where it is an MLP: %s", async (name) => {
    const head = await headDirectory(space, name, `${name}-head`);
    await expectGolden(await foreignFile(space, name), plain(name), { head });
    if (name === "inform")
      await expectGolden(await foreignFile(space, name), plain(name), { head: await headFile(space, name) });
  });

  it("where it is gated", async () => {
    const head = await headDirectory(space, "armorm", "armorm-head");
    const file = await foreignFile(space, "armorm");
    await attach(file, path("gated.gguf"), { head });
    await expectGolden(path("gated.gguf"), plain("armorm"));
  });

  it("under any name that is one linear layer's, or none", async () => {
    const file = await foreignFile(space, "beaver-cost");
    for (const prefix of ["my_head.", ""]) {
      const head = await headFile(space, "beaver-cost", (name) => name.replace("score_head.", prefix));
      await expectGolden(file, plain("beaver-cost"), { head });
    }
  });

  it("from a whole checkpoint, whose backbone stays unread", async () => {
    const { directory } = await checkpoint("beaver-reward");
    await expectGolden(await foreignFile(space, "beaver-reward"), plain("beaver-reward"), { head: directory });
  });

  it("on a quantised backbone, whose tensors are copied byte for byte", async () => {
    const file = await foreignFile(space, "beaver-reward", "q4_k_m");
    await attach(file, path("q.gguf"), { head: await headFile(space, "beaver-reward") });
    const [before, after] = [await readGguf(file), await readGguf(path("q.gguf"))];
    const data = ({ path: from, tensors }: typeof before): Buffer =>
      readFileSync(from).subarray(Math.min(...tensors.map(({ offset }) => offset)));
    expect(after.tensors.map(({ name, typeName, dims }) => [name, typeName, dims])).toEqual(
      before.tensors.map(({ name, typeName, dims }) => [name, typeName, dims]),
    );
    expect(data(after).equals(data(before))).toBe(true);
    await using own = await ScoreModel.load(await gguf("beaver-reward", "q4_k_m"), EXACT);
    await using attached = await ScoreModel.load(path("q.gguf"), EXACT);
    const { endScores } = await own.score("A text.");
    expect((await attached.score("A text.")).endScores.data).toEqual(endScores.data);
  });
});

describe("an attached file", () => {
  it("keeps the other tool's keys, and can be quantised and attached again", async () => {
    const file = await foreignFile(space, "beaver-reward");
    const head = await headFile(space, "beaver-reward");
    await attach(file, path("k.gguf"), { head, labels: ["reward"] });
    const [before, after] = [(await readGguf(file)).metadata, (await readGguf(path("k.gguf"))).metadata];
    expect([...after.keys()].filter((key) => !key.startsWith("scorehead."))).toEqual([...before.keys()]);
    await quantize(path("k.gguf"), path("k8.gguf"), { type: "q8_0" });
    const again = await attach(path("k8.gguf"), path("k8b.gguf"), { head, type: "attributes", labels: ["kindness"] });
    expect(again.head.labels).toEqual(["kindness"]);
    await using model = await ScoreModel.load(path("k8b.gguf"), EXACT);
    expect(model.info).toMatchObject({ type: "attributes", labels: ["kindness"], profile: "custom" });
  });

  it("may replace its own backbone, in one step", async () => {
    const file = await foreignFile(space, "beaver-reward");
    const progress: number[] = [];
    const head = await headFile(space, "beaver-reward");
    await attach(file, file, { head, onProgress: ({ bytes, total }) => progress.push(bytes / total) });
    expect(progress.at(-1)).toBe(1);
    await expectGolden(file, plain("beaver-reward"));
  });

  it("is not there, or as it was, where attaching fails or is aborted", async () => {
    const [file, head] = [await foreignFile(space, "beaver-reward"), await headFile(space, "beaver-reward")];
    const folder = path("aborted");
    mkdirSync(folder);
    writeFileSync(join(folder, "old.gguf"), "old");
    const controller = new AbortController();
    const options = { head, signal: controller.signal, onProgress: () => controller.abort() };
    await refused(attach(file, join(folder, "new.gguf"), options), "ERR_ABORTED");
    await refused(attach(file, join(folder, "old.gguf"), { ...options }), "ERR_ABORTED");
    await refused(attach(file, join(folder, "none", "a.gguf"), { head }), "ERR_NOT_FOUND", "none");
    expect(readdirSync(folder)).toEqual(["old.gguf"]);
    expect(readFileSync(join(folder, "old.gguf"), "utf8")).toBe("old");
  });
});

describe("what is not known of a head", () => {
  it("is assumed with a warning that says how to say it", async () => {
    const [file, head] = [await foreignFile(space, "beaver-reward"), await headFile(space, "dpa")];
    const wide = writeFloats(path("wide.safetensors"), { "score.weight": [[2, 256], Array(512).fill(0.5)] });
    const { head: spec, warnings } = await attach(file, path("w.gguf"), { head: wide });
    expect(spec).toMatchObject({ type: "attributes", labels: ["attribute_0", "attribute_1"], read: "hf" });
    expect(warnings).toEqual([expect.stringMatching(/assumed: .*\(type\); .*\(read hf\)/)]);
    expect((await attach(file, path("w.gguf"), { head: wide, type: "cost" })).warnings[0]).not.toContain("(type)");
    const told: string[] = [];
    const onWarning = (message: string): void => void told.push(message);
    await using model = await ScoreModel.load(file, { ...EXACT, head: wide, labels: ["x", "y"], onWarning });
    expect(model.info.labels).toEqual(["x", "y"]);
    expect(told).toHaveLength(1);
    await refused(attach(file, path("w.gguf"), { head }), "ERR_HEAD", "64 numbers", "256");
  });

  it("is taken from a profile that is named", async () => {
    const [file, head] = [await foreignFile(space, "dpa"), await headFile(space, "dpa")];
    const { head: spec, warnings } = await attach(file, path("dpa-attached.gguf"), { head, profile: "dpa" });
    expect(spec).toMatchObject({ profile: "dpa", type: "attributes", read: "hf" });
    expect([spec.labels[0], warnings]).toEqual(["helpsteer-helpfulness", []]);
    await using model = await ScoreModel.load(file, { ...EXACT, head, profile: "dpa" });
    expect((await model.score({ prompt: "a", response: "b" })).endScores.dims).toEqual([1, 10]);
  });

  it("decides where padding is read by the config beside the head", async () => {
    const file = await foreignFile(space, "beaver-reward");
    const read = async (pad: unknown): Promise<unknown> => {
      const head = await headDirectory(space, "beaver-reward", "padded-head");
      const config = join(head, "config.json");
      writeFileSync(
        config,
        JSON.stringify({ ...JSON.parse(readFileSync(config, "utf8")), architectures: undefined, pad_token_id: pad }),
      );
      await attach(file, path("pad.gguf"), { head });
      const ids = { tokenIds: [1, 300, 5] };
      await using attached = await ScoreModel.load(path("pad.gguf"), EXACT);
      await using loaded = await ScoreModel.load(file, { ...EXACT, head });
      const [a, b] = [await attached.score(ids), await loaded.score(ids)];
      expect(a.endIndex.data).toEqual(b.endIndex.data);
      return a.endIndex.data[0];
    };
    expect(await read(5)).toBe(1);
    expect(await read(null)).toBe(2);
    expect(await read(7)).toBe(2);
  });
});

it.each<[string, unknown]>([
  ["of its architecture", "mistral"],
  ["that names no architecture", undefined],
  ["of an architecture that is not known", "mistral-reward"],
])("a sliding window that only the head's config tells limits the texts: one %s", async (_, architecture) => {
  const file = await foreignFile(space, "dpa");
  const head = await headDirectory(space, "dpa", "windowed");
  const config = join(head, "config.json");
  // The switch is Qwen's, and Mistral's class does not have it.
  const windowed = { model_type: architecture, sliding_window: 20, use_sliding_window: false };
  writeFileSync(config, JSON.stringify({ ...JSON.parse(readFileSync(config, "utf8")), ...windowed }));
  await attach(file, path("windowed.gguf"), { head });
  for (const [model, options] of [
    [path("windowed.gguf"), {}],
    [file, { head }],
  ] as const) {
    await using loaded = await ScoreModel.load(model, { ...EXACT, ...options });
    const long = { tokenIds: Array.from({ length: 21 }, (_, i) => 300 + i) };
    await refused(loaded.score(long), "ERR_INPUT_TOO_LONG", "21 tokens", "takes 20");
    await refused(loaded.score(long, { maxLength: 21 }), "ERR_ARGUMENT", "20");
    expect((await loaded.score(long, { maxLength: 20 })).lengths[0]).toBe(20);
  }
});
