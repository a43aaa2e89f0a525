/** Typed access to the keys of a GGUF file's head: absent is null, another type is an error. */
import { ScoreheadError } from "../errors.ts";
import type { GgufMetadata } from "../gguf/types.ts";

interface ScalarValue {
  string: string;
  u32: number;
  f32: number;
}

interface ArrayValue {
  string: readonly string[];
  u32: Uint32Array;
  i32: Int32Array;
  f32: Float32Array;
}

/** The value of a scalar key; null where it is absent. */
export function scalar<T extends keyof ScalarValue>(
  metadata: GgufMetadata,
  key: string,
  type: T,
): ScalarValue[T] | null {
  const found = metadata.get(key);
  if (found === undefined) return null;
  if (found.type !== type) throw malformed(key, `is of type ${found.type} instead of ${type}`);
  return found.value as ScalarValue[T];
}

/** The value of an array key; null where it is absent. */
export function array<T extends keyof ArrayValue>(metadata: GgufMetadata, key: string, of: T): ArrayValue[T] | null {
  const found = metadata.get(key);
  if (found === undefined) return null;
  if (found.type !== "array") throw malformed(key, `is of type ${found.type} instead of an array of ${of}`);
  if (found.of !== of) throw malformed(key, `is an array of ${found.of} instead of ${of}`);
  return found.value as ArrayValue[T];
}

export function text(metadata: GgufMetadata, key: string): string {
  return required(key, scalar(metadata, key, "string"));
}

export function required<T>(key: string, value: T | null): T {
  if (value === null) throw malformed(key, "is missing");
  return value;
}

export function malformed(key: string, what: string): ScoreheadError {
  return new ScoreheadError("ERR_GGUF", `The GGUF key ${key} ${what}. Convert the checkpoint again.`);
}
