/** Types for single tensors: which ones a name means, and that the quantiser follows. */
import { rmSync } from "node:fs";
import { afterEach, describe, expect, it } from "vitest";
import { overrideTensors, type TensorTypes } from "../../lib/convert/tensor-types.ts";
import { readGguf } from "../../lib/gguf/read.ts";
import { quantize } from "../../lib/index.ts";
import { refused } from "../gguf/support.ts";
import { workspace } from "../model/support.ts";

const TENSORS = [
  ["token_embd.weight", 256, 100],
  ["output_norm.weight", 256],
  ["blk.1.attn_v.weight", 256, 64],
  ["blk.1.attn_v.bias", 64],
  ["blk.10.attn_v.weight", 256, 64],
  ["blk.1.ffn_down.weight", 160, 256],
].map(([name, ...dims]) => ({ name: name as string, dims: dims as number[], typeName: "F16", byteLength: 0 }));

const chosen = (types: TensorTypes): string[] =>
  overrideTensors({ tensors: TENSORS }, types).map(({ name, type }) => `${name} ${type}`);

describe("a name", () => {
  it.each([
    [{ attn_v: "q8_0" }, ["blk.1.attn_v.weight 8", "blk.10.attn_v.weight 8"]],
    [{ "blk.1": "f16" }, ["blk.1.attn_v.weight 1", "blk.1.ffn_down.weight 1"]],
    [{ "blk.1.attn_v": "bf16" }, ["blk.1.attn_v.weight 30"]],
    [{ "token_embd.weight": "q6_k" }, ["token_embd.weight 14"]],
    [{}, []],
    // The first that fits decides.
    [{ "blk.1.attn_v": "f32", attn_v: "q4_k" }, ["blk.1.attn_v.weight 0", "blk.10.attn_v.weight 12"]],
  ] as [TensorTypes, string[]][])("as in %j means whole parts between dots", (types, expected) => {
    expect(chosen(types)).toEqual(expected);
  });

  it.each(["attn", "blk", "output_norm", "bias", "", ".*", "weight.", "attn_v.bias"])(
    "%j, which means no matrix by a part of its name, is refused",
    (name) => {
      const means = name === "blk"; // every layer's
      if (means) expect(chosen({ [name]: "q8_0" })).toHaveLength(3);
      else
        expect(() => chosen({ [name]: "q8_0" })).toThrow(
          expect.objectContaining({
            code: "ERR_ARGUMENT",
            message: expect.stringContaining("token_embd, attn_v, ffn_down"),
          }),
        );
    },
  );

  it("whose rows the type's blocks do not fill is refused with the numbers", () => {
    expect(() => chosen({ ffn_down: "q4_k" })).toThrow(
      expect.objectContaining({ code: "ERR_QUANTIZE", message: expect.stringMatching(/rows of 160 .* blocks of 256/) }),
    );
    expect(chosen({ ffn_down: "q4_0" })).toEqual(["blk.1.ffn_down.weight 2"]);
  });
});

describe("quantising with types for single tensors", () => {
  const { gguf, path } = workspace();
  const output = () => path("out.gguf");
  afterEach(() => rmSync(output(), { force: true }));

  it("gives them to those, and llama.cpp's mix to the others", async () => {
    const source = await gguf("beaver-reward", "f16");
    const types = async (tensorTypes?: TensorTypes) => {
      await quantize(source, output(), { type: "q4_k_m", tensorTypes });
      return new Map((await readGguf(output())).tensors.map(({ name, typeName }) => [name, typeName]));
    };
    const plain = await types();
    const mixed = await types({ attn_v: "q8_0", "blk.0.attn_q": "f16", token_embd: "q4_0" });
    for (const [name, type] of mixed) {
      if (name.includes("attn_v.weight")) expect(type).toBe("Q8_0");
      else if (name === "blk.0.attn_q.weight") expect(type).toBe("F16");
      else if (name === "token_embd.weight") expect(type).toBe("Q4_0");
      else expect(type).toBe(plain.get(name));
    }
    expect(plain.get("token_embd.weight")).not.toBe("Q4_0");
  });

  it("refuses what is no such type or tensor, and writes nothing", async () => {
    const source = await gguf("beaver-reward", "f16");
    const wrong = (tensorTypes: unknown) =>
      quantize(source, output(), { type: "q8_0", tensorTypes: tensorTypes as TensorTypes });
    for (const value of ["attn_v", [], { attn_v: "q3_k" }, { attn_v: 8 }, { nonsense: "q8_0" }])
      await refused(wrong(value), "ERR_ARGUMENT");
    await expect(readGguf(output())).rejects.toMatchObject({ code: "ERR_NOT_FOUND" });
  });
});
