/** The head's GGUF keys: as the design lists them, there and back, and each way of being wrong. */
import { describe, expect, it } from "vitest";
import type { GgufValue } from "../../lib/gguf/types.ts";
import { headFromMetadata, headToMetadata } from "../../lib/head/metadata.ts";
import { gatedSpec, headSpec, layer, linear, mlpSpec } from "./head-spec.ts";

describe("the keys", () => {
  it("are those of the file format", () => {
    const f32 = (...value: number[]): GgufValue => ({ type: "array", of: "f32", value: Float32Array.from(value) });
    expect(Object.fromEntries(headToMetadata(headSpec()))).toEqual({
      "scorehead.version": { type: "u32", value: 1 },
      "scorehead.profile": { type: "string", value: "beaver-cost" },
      "scorehead.head.weight": f32(1, 2, 3, 4, 5, 6),
      "scorehead.head.dims": { type: "array", of: "u32", value: Uint32Array.of(2, 3) },
      "scorehead.head.bias": f32(0.5, -0.5),
      "scorehead.labels": { type: "array", of: "string", value: ["cost_0", "cost_1"] },
      "scorehead.read": { type: "string", value: "last-token" },
      "scorehead.normalizer.function": { type: "string", value: "cost" },
      "scorehead.normalizer.mean": f32(-1.125, 0.5),
      "scorehead.normalizer.var": f32(8.875, 0.25),
      "scorehead.type": { type: "string", value: "cost" },
      "scorehead.max_length": { type: "u32", value: 2048 },
      "scorehead.truncation_side": { type: "string", value: "left" },
      "scorehead.source.repository": { type: "string", value: "PKU-Alignment/beaver-7b-v1.0-cost" },
      "scorehead.source.revision": { type: "string", value: "0a1b2c" },
    });
  });

  it("come back as the same head", () => {
    const spec = headSpec({ read: "card", truncationSide: "right", maxLength: 7 });
    expect(headFromMetadata(headToMetadata(spec))).toEqual(spec);
  });

  it("leave out the bias and normaliser that a head does not have", () => {
    const network = linear(2, [1, 2, 3, 4, 5, 6]);
    const spec = headSpec({ network, normalizer: null, source: { repository: "", revision: "" } });
    const metadata = headToMetadata(spec);
    expect([...metadata.keys()].filter((key) => /bias|normalizer/.test(key))).toEqual([]);
    expect(headFromMetadata(metadata)).toEqual(spec);
  });

  it("are not written for an invalid head", () => {
    expect(() => headToMetadata(headSpec({ labels: ["x"] }))).toThrow(expect.objectContaining({ code: "ERR_HEAD" }));
  });
});

describe("reading refuses", () => {
  const text = (value: string): GgufValue => ({ type: "string", value });
  const f32 = (...value: number[]): GgufValue => ({ type: "array", of: "f32", value: Float32Array.from(value) });
  const dims = (...value: number[]): GgufValue => ({ type: "array", of: "u32", value: Uint32Array.from(value) });
  const cases: [string, string, string, GgufValue | undefined][] = [
    ["no version", "ERR_NO_HEAD", "version", undefined],
    ["no weight", "ERR_NO_HEAD", "head.weight", undefined],
    ["a newer version", "ERR_NEWER_VERSION", "version", { type: "u32", value: 2 }],
    ["version 0", "ERR_GGUF", "version", { type: "u32", value: 0 }],
    ["a version of another type", "ERR_GGUF", "version", { type: "i32", value: 1 }],
    ["a weight of another type", "ERR_GGUF", "head.weight", { type: "array", of: "f64", value: new Float64Array(6) }],
    ["a weight that is no array", "ERR_GGUF", "head.weight", { type: "f32", value: 1 }],
    ["a weight of another length", "ERR_HEAD", "head.weight", f32(1, 2, 3)],
    ["no dims", "ERR_GGUF", "head.dims", undefined],
    ["dims of another type", "ERR_GGUF", "head.dims", { type: "array", of: "i32", value: Int32Array.of(2, 3) }],
    ["one dimension", "ERR_HEAD", "head.dims", dims(6)],
    ["three dimensions", "ERR_HEAD", "head.dims", dims(1, 2, 3)],
    ["no outputs", "ERR_HEAD", "head.dims", dims(0, 3)],
    ["absurdly many outputs", "ERR_HEAD", "head.dims", dims(65537, 3)],
    ["a hidden size of 0", "ERR_HEAD", "head.dims", dims(2, 0)],
    ["an unknown kind", "ERR_GGUF", "head.kind", text("forest")],
    ["an MLP without layers", "ERR_GGUF", "head.kind", text("mlp")],
    ["a bias of another type", "ERR_GGUF", "head.bias", text("0")],
    ["a bias of another length", "ERR_HEAD", "head.bias", f32(1)],
    ["no labels", "ERR_GGUF", "labels", undefined],
    ["too few labels", "ERR_HEAD", "labels", { type: "array", of: "string", value: ["a"] }],
    ["no read position", "ERR_GGUF", "read", undefined],
    ["an unknown read position", "ERR_HEAD", "read", text("first-token")],
    ["half a normaliser", "ERR_GGUF", "normalizer.var", undefined],
    ["a normaliser without function", "ERR_GGUF", "normalizer.function", undefined],
    ["an unknown normaliser", "ERR_HEAD", "normalizer.function", text("softmax")],
    ["a negative variance", "ERR_HEAD", "normalizer.var", f32(1, -1)],
    ["no type", "ERR_GGUF", "type", undefined],
    ["an unknown type", "ERR_HEAD", "type", text("logits")],
    ["no maximal length", "ERR_GGUF", "max_length", undefined],
    ["a maximal length of 0", "ERR_HEAD", "max_length", { type: "u32", value: 0 }],
    ["no truncation side", "ERR_GGUF", "truncation_side", undefined],
    ["an unknown truncation side", "ERR_HEAD", "truncation_side", text("both")],
    ["no profile", "ERR_GGUF", "profile", undefined],
    ["a source of another type", "ERR_GGUF", "source.revision", { type: "u32", value: 1 }],
  ];

  it.each(cases)("%s (%s)", (_, code, name, value) => {
    const metadata = headToMetadata(headSpec());
    if (value === undefined) metadata.delete(`scorehead.${name}`);
    else metadata.set(`scorehead.${name}`, value);
    expect(() => headFromMetadata(metadata)).toThrow(expect.objectContaining({ code }));
  });

  it("with the remedy", () => {
    expect(() => headFromMetadata(new Map())).toThrow(/scorehead convert <checkpoint-dir>/);
    const newer = headToMetadata(headSpec()).set("scorehead.version", { type: "u32", value: 9 });
    expect(() => headFromMetadata(newer)).toThrow(/version 9.*version 1.*npm install scorehead@latest/);
  });
});

describe("the keys of an MLP", () => {
  const str = (...value: string[]): GgufValue => ({ type: "array", of: "string", value });

  it("are of version 2, which older readers refuse", () => {
    const keys = Object.fromEntries(headToMetadata(mlpSpec()));
    expect(keys).toMatchObject({
      "scorehead.version": { type: "u32", value: 2 },
      "scorehead.head.kind": { type: "string", value: "mlp" },
      "scorehead.head.layer_count": { type: "u32", value: 2 },
      "scorehead.head.activation": { type: "string", value: "relu" },
      "scorehead.head.layer.0.dims": { type: "array", of: "u32", value: Uint32Array.of(2, 3) },
      // Little-endian 0x3f80 0x4000 0x4040 and 0x4080 0x40a0 0x40c0: 1 2 3 and 4 5 6.
      "scorehead.head.layer.0.dtype": { type: "string", value: "BF16" },
      "scorehead.head.layer.0.weight": str("gD8AQEBA", "gECgQMBA"),
      "scorehead.head.layer.0.bias": { type: "array", of: "f32", value: Float32Array.of(0.5, -0.5) },
      // 0.1 and -0.1 have more than a bfloat16's bits.
      "scorehead.head.layer.1.dtype": { type: "string", value: "F32" },
      "scorehead.head.layer.1.weight": str("zczMPc3MzL0="),
    });
    expect(keys["scorehead.head.weight"]).toBeUndefined();
  });

  it("come back as the same head, to the last bit", () => {
    for (const spec of [mlpSpec(), mlpSpec({ activation: "tanh" }), gatedSpec()])
      expect(headFromMetadata(headToMetadata(spec))).toEqual(spec);
    const odd = mlpSpec({ layers: [layer(2, [1e-40, -0, 3e38, 4, 5, 6]), layer(1, [0.1, 0.2])] });
    expect(headFromMetadata(headToMetadata(odd))).toEqual(odd);
  });

  it("of a later version are refused", () => {
    const newer = headToMetadata(mlpSpec()).set("scorehead.version", { type: "u32", value: 3 });
    expect(() => headFromMetadata(newer)).toThrow(expect.objectContaining({ code: "ERR_NEWER_VERSION" }));
    newer.set("scorehead.head.kind", { type: "string", value: "forest" });
    expect(() => headFromMetadata(newer)).toThrow(expect.objectContaining({ code: "ERR_NEWER_VERSION" }));
  });

  const cases: [string, string, GgufValue | undefined][] = [
    ["layer_count", "ERR_GGUF", undefined],
    ["layer_count", "ERR_GGUF", { type: "u32", value: 0 }],
    ["layer_count", "ERR_GGUF", { type: "u32", value: 2 ** 32 - 1 }],
    ["layer_count", "ERR_HEAD", { type: "u32", value: 1 }],
    ["layer_count", "ERR_GGUF", { type: "u32", value: 3 }],
    ["activation", "ERR_HEAD", undefined],
    ["activation", "ERR_HEAD", { type: "string", value: "gelu" }],
    ["layer.0.dims", "ERR_GGUF", undefined],
    ["layer.0.dims", "ERR_GGUF", { type: "array", of: "u32", value: Uint32Array.of(6) }],
    ["layer.0.dims", "ERR_GGUF", { type: "array", of: "u32", value: Uint32Array.of(2, 0) }],
    ["layer.0.dims", "ERR_GGUF", { type: "array", of: "u32", value: Uint32Array.of(2, 2 ** 31) }],
    ["layer.0.dims", "ERR_GGUF", { type: "array", of: "u32", value: Uint32Array.of(3, 2) }],
    ["layer.0.dtype", "ERR_GGUF", { type: "string", value: "F16" }],
    ["layer.0.dtype", "ERR_GGUF", { type: "string", value: "F32" }],
    ["layer.0.weight", "ERR_GGUF", undefined],
    ["layer.0.weight", "ERR_GGUF", str("gD8AQEBA")],
    ["layer.0.weight", "ERR_GGUF", str("gD8AQEBA", "gECgQMB")],
    ["layer.0.weight", "ERR_GGUF", str("gD8AQEBA", "gECg*MBA")],
    ["layer.0.bias", "ERR_HEAD", { type: "array", of: "f32", value: Float32Array.of(1) }],
  ];
  it.each(cases)("refused where %s is wrong (%s)", (name, code, value) => {
    const metadata = headToMetadata(mlpSpec());
    if (value === undefined) metadata.delete(`scorehead.head.${name}`);
    else metadata.set(`scorehead.head.${name}`, value);
    expect(() => headFromMetadata(metadata)).toThrow(expect.objectContaining({ code }));
  });

  it.each(["gating.layer_count", "gating.temperature", "gating.scale", "gating.pattern", "reward_transform"])(
    "refused where a gated head lacks %s",
    (name) => {
      const metadata = headToMetadata(gatedSpec());
      metadata.delete(`scorehead.head.${name}`);
      expect(() => headFromMetadata(metadata)).toThrow(expect.objectContaining({ code: "ERR_GGUF" }));
    },
  );
});
