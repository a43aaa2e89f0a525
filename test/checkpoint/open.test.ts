/** Opening checkpoint directories: which files are chosen, and whether index and shards agree. */
import { copyFileSync, linkSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { beforeEach, describe, expect, it } from "vitest";
import { openCheckpoint } from "../../lib/checkpoint/open.ts";
import { refused, temporaryDirectory } from "../gguf/support.ts";
import { pickleState, torchEntries, writeShard, zip } from "./support.ts";

const path = temporaryDirectory();
const INDEX = "model.safetensors.index.json";
const ONE = "model-00001-of-00002.safetensors";
const TWO = "model-00002-of-00002.safetensors";

const open = () => openCheckpoint(path());
const refusedAs = (...parts: string[]) => refused(open(), "ERR_CHECKPOINT", ...parts);
const writeIndex = (weight_map: unknown) => writeFileSync(path(INDEX), JSON.stringify({ metadata: {}, weight_map }));
const writeTorch = (name: string) => writeFileSync(path(name), zip(torchEntries(pickleState({ [`in ${name}`]: {} }))));
const names = async () => [...(await open()).tensors.keys()];

describe("the choice of files", () => {
  it("has config.json where there is one", async () => {
    writeShard(path("model.safetensors"), "a");
    expect((await open()).config).toBeNull();
    writeFileSync(path("config.json"), '{"model_type": "llama"}');
    const checkpoint = await open();
    expect(checkpoint.config).toEqual({ model_type: "llama" });
    expect(checkpoint.directory).toBe(path());
    expect(checkpoint.tensors.get("a")).toMatchObject({ name: "a", dtype: "F32", shape: [1] });
  });

  it("refuses a malformed config.json", async () => {
    writeShard(path("model.safetensors"), "a");
    for (const malformed of ["{", "[]", "null", ""]) {
      writeFileSync(path("config.json"), malformed);
      await refused(open(), "ERR_CONFIG", path("config.json"));
    }
  });

  it("prefers the index, then safetensors, then torch", async () => {
    writeTorch("a.pt");
    writeTorch("training_args.bin");
    writeTorch("optimizer.pt");
    expect(await names()).toEqual(["in a.pt"]);
    writeTorch("starling_model.bin");
    expect(await names()).toEqual(["in starling_model.bin"]);
    writeTorch("pytorch_model-1.bin");
    expect(await names()).toEqual(["in pytorch_model-1.bin"]);
    writeTorch("pytorch_model.bin");
    expect(await names()).toEqual(["in pytorch_model.bin"]);
    writeFileSync(
      path("pytorch_model.bin.index.json"),
      JSON.stringify({ weight_map: { "in pytorch_model-1.bin": "pytorch_model-1.bin" } }),
    );
    expect(await names()).toEqual(["in pytorch_model-1.bin"]);
    writeShard(path("other.safetensors"), "in other");
    expect(await names()).toEqual(["in other"]);
    writeShard(path("model.safetensors"), "in model");
    expect(await names()).toEqual(["in model"]);
    writeIndex({ "in other": "other.safetensors" });
    expect(await names()).toEqual(["in other"]);
  });

  it("names the candidates where several could be meant", async () => {
    writeTorch("a.pt");
    writeTorch("b.pth");
    await refusedAs("several files", "a.pt, b.pth");
    writeShard(path(ONE), "a");
    writeShard(path(TWO), "b");
    await refusedAs("no index", `${ONE}, ${TWO}`);
  });

  it("names what it looked for where there is nothing", () =>
    refusedAs("no weights", INDEX, "model.safetensors", "pytorch_model.bin", "*.pt"));

  it("needs a directory", async () => {
    await refused(openCheckpoint(path("none")), "ERR_NOT_FOUND", path("none"));
    writeFileSync(path("file"), "");
    await refused(openCheckpoint(path("file")), "ERR_CHECKPOINT", "is a file");
  });
});

describe("an index", () => {
  beforeEach(() => {
    writeShard(path(ONE), "a", "b");
    writeShard(path(TWO), "c");
    writeIndex({ a: ONE, b: ONE, c: TWO });
  });

  it("leads to every tensor of every shard", async () => {
    const { tensors } = await open();
    expect([...tensors].map(([name, { file }]) => [name, file])).toEqual([
      ["a", path(ONE)],
      ["b", path(ONE)],
      ["c", path(TWO)],
    ]);
  });

  it("names a missing shard", async () => {
    writeIndex({ a: ONE, b: ONE, c: "model-00003-of-00002.safetensors" });
    await refusedAs("model-00003-of-00002.safetensors", "is missing", path());
  });

  it.each([`./${ONE}`, `sub/../${ONE}`, `.//${ONE}`])("lists a shard twice, also as %s", async (spelling) => {
    mkdirSync(path("sub"));
    writeIndex({ a: ONE, b: spelling, c: TWO });
    await refusedAs("one shard is listed twice", ONE, spelling);
  });

  it("lists one file under two names", async () => {
    linkSync(path(TWO), path("hard.safetensors"));
    writeIndex({ a: ONE, b: ONE, c: TWO, d: "hard.safetensors" });
    await refusedAs("one shard is listed twice", TWO, "hard.safetensors");
    // Windows lets only administrators make symbolic links.
    if (process.platform === "win32") return;
    symlinkSync(path(TWO), path("soft.safetensors"));
    writeIndex({ a: ONE, b: ONE, c: TWO, d: "soft.safetensors" });
    await refusedAs("one shard is listed twice", TWO, "soft.safetensors");
  });

  it("leads to a shard that is a copy of another", async () => {
    copyFileSync(path(ONE), path(TWO));
    await refusedAs("a is in two shards", path(ONE), path(TWO));
  });

  it("lists a tensor twice", async () => {
    writeFileSync(path(INDEX), `{"weight_map": {"a": "${ONE}", "b": "${ONE}", "c": "${TWO}", "a": "${TWO}"}}`);
    await refusedAs("it lists a twice");
  });

  it("lists a tensor that its shard does not have", async () => {
    writeIndex({ a: ONE, b: ONE, c: TWO, d: TWO });
    await refusedAs("d is listed in", TWO, "it is not there");
  });

  it("lists a tensor in the wrong shard", async () => {
    writeIndex({ a: ONE, b: TWO, c: TWO });
    await refusedAs(`b is listed in ${TWO}, but it is in ${ONE}`);
  });

  it("does not list a tensor of a shard", async () => {
    writeIndex({ a: ONE, c: TWO });
    await refusedAs(`b in ${ONE} is not listed`);
  });

  it.each(["../outside.safetensors", "sub/../../outside.safetensors", "/etc/passwd", "..", "a\\..\\b"])(
    "does not lead to %s",
    async (shard) => {
      writeIndex({ a: shard });
      await refusedAs("outside its directory", JSON.stringify(shard));
    },
  );

  it.each([
    [{}, "its weight_map is empty"],
    [[ONE], "it has no weight_map"],
    [null, "it has no weight_map"],
    [{ a: 1 }, "it gives no shard for a"],
    [{ a: "" }, "it gives no shard for a"],
  ])("has the malformed weight_map %j", async (weightMap, problem) => {
    writeIndex(weightMap);
    await refusedAs(problem, path(INDEX));
  });

  it("is not JSON", async () => {
    writeFileSync(path(INDEX), "{");
    await refusedAs(path(INDEX), "it is not JSON");
  });
});
