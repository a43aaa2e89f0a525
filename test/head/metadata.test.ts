/** The head's GGUF keys: as the design lists them, there and back, and each way of being wrong. */
import { describe, expect, it } from "vitest";
import type { GgufValue } from "../../lib/gguf/types.ts";
import { headFromMetadata, headToMetadata } from "../../lib/head/metadata.ts";
import { headSpec } from "./head-spec.ts";

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
    const spec = headSpec({ bias: null, normalizer: null, source: { repository: "", revision: "" } });
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
