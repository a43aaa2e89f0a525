/** Element types: bytes of a checkpoint's type → bytes of the file's type, rounding to nearest even. */
import type { CheckpointDtype } from "../checkpoint/types.ts";
import { ScoreheadError } from "../errors.ts";
import type { WritableType } from "../gguf/types.ts";
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from "./half.ts";
import { quantizeQ8 } from "./q8.ts";

/** The checkpoint types that weights come in. */
export type FloatDtype = Extract<CheckpointDtype, "F64" | "F32" | "F16" | "BF16">;

export function isFloat(dtype: CheckpointDtype): dtype is FloatDtype {
  return dtype === "F64" || dtype === "F32" || dtype === "F16" || dtype === "BF16";
}

type Convert = (input: Uint8Array) => Uint8Array;

/** 16-bit sources go through a table of all their values. */
function table16<Out extends Uint16Array | Float32Array>(
  make: (length: number) => Out,
  value: (half: number) => number,
): Convert {
  const table = make(65_536);
  for (let half = 0; half < 65_536; half++) table[half] = value(half);
  return (input) => {
    const source = elements(input, Uint16Array);
    const out = make(source.length);
    for (let i = 0; i < source.length; i++) out[i] = table[source[i] as number] as number;
    return asBytes(out);
  };
}

function each<Out extends Uint16Array | Float32Array>(
  Source: ElementArray<Float32Array | Float64Array>,
  make: (length: number) => Out,
  value: (number: number) => number,
): Convert {
  return (input) => {
    const source = elements(input, Source);
    const out = make(source.length);
    for (let i = 0; i < source.length; i++) out[i] = value(source[i] as number);
    return asBytes(out);
  };
}

const halves = (length: number): Uint16Array => new Uint16Array(length);
const floats = (length: number): Float32Array => new Float32Array(length);
const same = (value: number): number => value;
const copy: Convert = (input) => input;

const MAKERS: Readonly<Record<`${FloatDtype}>${Exclude<WritableType, "Q8_0">}`, () => Convert>> = {
  "F32>F32": () => copy,
  "F16>F16": () => copy,
  "BF16>BF16": () => copy,
  "F16>F32": () => table16(floats, f16ToF32),
  "BF16>F32": () => table16(floats, bf16ToF32),
  "F16>BF16": () => table16(halves, (half) => f32ToBf16(f16ToF32(half))),
  "BF16>F16": () => table16(halves, (half) => f32ToF16(bf16ToF32(half))),
  "F32>F16": () => each(Float32Array, halves, f32ToF16),
  "F32>BF16": () => each(Float32Array, halves, f32ToBf16),
  "F64>F32": () => each(Float64Array, floats, same),
  "F64>F16": () => each(Float64Array, halves, (value) => f32ToF16(Math.fround(value))),
  "F64>BF16": () => each(Float64Array, halves, (value) => f32ToBf16(Math.fround(value))),
};

const converters = new Map<string, Convert>();

/**
 * Converts the bytes of whole elements, for Q8_0 of whole blocks.
 * @param name of the tensor, for the error
 * @returns the converted bytes; the input itself where the types are the same
 * @throws ERR_TENSOR where a number is beyond F16, or beyond Q8_0
 */
export function convertElements(input: Uint8Array, from: FloatDtype, to: WritableType, name: string): Uint8Array {
  if (to === "Q8_0") return quantizeQ8(elements(convertElements(input, from, "F32", name), Float32Array), name);
  const pair = `${from}>${to}` as const;
  let convert = converters.get(pair);
  if (!convert) {
    convert = MAKERS[pair]();
    converters.set(pair, convert);
  }
  const output = convert(input);
  if (to === "F16" && from !== "F16") refuseOverflow(output, name);
  return output;
}

function refuseOverflow(output: Uint8Array, name: string): void {
  for (const half of elements(output, Uint16Array))
    if ((half & 0x7c00) === 0x7c00)
      throw new ScoreheadError(
        "ERR_TENSOR",
        `${name} holds a number that F16 cannot represent (above 65504, or not finite). Convert with --type bf16 or f32.`,
      );
}

type ElementArray<T> = { new (buffer: ArrayBufferLike, offset: number, length: number): T; BYTES_PER_ELEMENT: number };

/** The elements of some bytes, copied only where they are not aligned. GGUF and all supported machines are little-endian. */
export function elements<T>(bytes: Uint8Array, Type: ElementArray<T>): T {
  const aligned = bytes.byteOffset % Type.BYTES_PER_ELEMENT === 0 ? bytes : bytes.slice();
  return new Type(aligned.buffer, aligned.byteOffset, aligned.byteLength / Type.BYTES_PER_ELEMENT);
}

/** The bytes that elements are made of, not copied. */
export function asBytes(array: Uint16Array | Float32Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}
