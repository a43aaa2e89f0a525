/** Constructors for the metadata values that scorehead writes. The writer checks ranges. */
import type { GgufArray, GgufScalar } from "./types.ts";

export const u32 = (value: number): GgufScalar => ({ type: "u32", value });
export const f32 = (value: number): GgufScalar => ({ type: "f32", value });
export const bool = (value: boolean): GgufScalar => ({ type: "bool", value });
export const str = (value: string): GgufScalar => ({ type: "string", value });
export const i32Array = (value: Int32Array): GgufArray => ({ type: "array", of: "i32", value });
export const u32Array = (value: Uint32Array): GgufArray => ({ type: "array", of: "u32", value });
export const f32Array = (value: Float32Array): GgufArray => ({ type: "array", of: "f32", value });
export const strArray = (value: readonly string[]): GgufArray => ({ type: "array", of: "string", value });
