/** Which of a repository's files are needed. */
import { describe, expect, it } from "vitest";
import { chooseFiles, type Wanted } from "../../lib/hub/select.ts";
import { failureOf } from "./support.ts";

/** The choice among files of these names; `index` is the text of any index. */
async function choice(names: readonly string[], wanted: Wanted = {}, index = ""): Promise<string> {
  const listing = new Map(names.map((name) => [name, { size: 1, etag: "" }]));
  const { kind, files } = await chooseFiles(listing, "owner/name", wanted, async () => index);
  return `${kind}: ${files.map(({ path }) => path).join(" ")}`;
}

const index = (...shards: string[]): string => JSON.stringify({ weight_map: { ...shards } });

describe("the weights", () => {
  it.each([
    ["safetensors before torch", ["pytorch_model.bin", "model.safetensors"], "safetensors: model.safetensors"],
    ["before GGUF", ["model.q8_0.gguf", "model.bin"], "torch: model.bin"],
    ["a torch file by its extension", ["reward.pt", "optimizer.pt"], "torch: reward.pt"],
    ["at the top", ["model.safetensors", "step-1/model.safetensors"], "safetensors: model.safetensors"],
  ])("are %s", async (_, names, expected) => {
    expect(await choice(names)).toBe(expected);
  });

  it("are an index and its shards", async () => {
    const names = ["b.safetensors", "a.safetensors", "c.safetensors", "model.safetensors.index.json"];
    expect(await choice(names, {}, index("b.safetensors", "a.safetensors", "b.safetensors"))).toBe(
      "safetensors: model.safetensors.index.json a.safetensors b.safetensors",
    );
    expect(await choice(["x.bin", "pytorch_model.bin.index.json"], {}, index("x.bin"))).toBe(
      "torch: pytorch_model.bin.index.json x.bin",
    );
  });

  it.each([
    ["none", ["README.md", "config.json"], "", /no weights/],
    ["several", ["a.safetensors", "b.safetensors"], "", /several files/],
    ["a shard that is not there", ["model.safetensors.index.json"], index("gone.safetensors"), /no file gone/],
    ["an index that is no JSON", ["model.safetensors.index.json"], "<html>", /not a usable index/],
    ["an index without a map", ["model.safetensors.index.json"], "null", /no weight_map/],
    ["an index of something else", ["model.safetensors.index.json"], '{"weight_map": {"a": 1}}', /not one of names/],
  ])("are refused where there are: %s", async (_, names, text, message) => {
    const error = await failureOf(() => choice(names, {}, text));
    expect(error.code).toBe("ERR_CHECKPOINT");
    expect(error.message).toMatch(message);
  });
});

describe("a GGUF file", () => {
  const SEVERAL = ["m.F16.gguf", "m.Q4_K_M.gguf", "m.Q8_0.gguf", "m.IQ4_XS.gguf"];

  it.each([
    ["the only one", ["config.json", "model.gguf"], null, "model.gguf"],
    ["of the default type", SEVERAL, null, "m.Q8_0.gguf"],
    ["of the type that is named", SEVERAL, "q4_k_m", "m.Q4_K_M.gguf"],
    ["in a folder", ["Q8_0/m-q8_0.gguf", "Q4_0/m-q4_0.gguf"], "q4_0", "Q4_0/m-q4_0.gguf"],
  ])("is %s", async (_, names, type, expected) => {
    expect(await choice(names, { type })).toBe(`gguf: ${expected}`);
  });

  it.each([
    ["q4_k", /no GGUF file of the type q4_k; it has m\.F16\.gguf, .*owner\/name:f16/],
    ["q6_k", /no GGUF file of the type q6_k/],
  ])("of the type %s is refused with what there is", async (type, message) => {
    expect((await failureOf(() => choice(SEVERAL, { type }))).message).toMatch(message);
  });

  it("is refused where its name says another type, and where several fit", async () => {
    expect((await failureOf(() => choice(["m.q4_0.gguf"], { type: "q8_0" }))).message).toMatch(
      /no GGUF file of the type/,
    );
    const parts = ["m.q8_0-00001-of-00002.gguf", "m.q8_0-00002-of-00002.gguf"];
    expect((await failureOf(() => choice(parts))).message).toMatch(/several GGUF files of the type q8_0/);
  });
});
