/** Element types: all halves, ties, subnormals and overflow, against formulas of another kind than the code's. */
import { describe, expect, it } from "vitest";
import { convertElements, elements, type FloatDtype } from "../../lib/convert/dtype.ts";
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from "../../lib/convert/half.ts";
import { Random } from "../fixtures/random.ts";

const HALVES = Array.from({ length: 65_536 }, (_, half) => half);
const bytesOf = (array: Uint16Array | Float32Array | Float64Array): Uint8Array => new Uint8Array(array.buffer);
const view = new DataView(new ArrayBuffer(4));
const floatOf = (bits: number): number => {
  view.setUint32(0, bits);
  return view.getFloat32(0);
};

/** IEEE binary16 by its definition. */
function halfByDefinition(half: number): number {
  const sign = half >= 0x8000 ? -1 : 1;
  const [exponent, fraction] = [Math.floor(half / 1024) % 32, half % 1024];
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0 ? sign * 2 ** -14 * (fraction / 1024) : sign * 2 ** (exponent - 15) * (1 + fraction / 1024);
}

describe("16 bits to float32", () => {
  it("every half", () => {
    expect(HALVES.filter((half) => !Object.is(f16ToF32(half), halfByDefinition(half)))).toEqual([]);
  });

  it("every bfloat16 is the upper half of a float32", () => {
    expect(HALVES.filter((half) => !Object.is(bf16ToF32(half), floatOf(half * 65_536)))).toEqual([]);
  });

  it.each([
    ["F16", f16ToF32, f32ToF16],
    ["BF16", bf16ToF32, f32ToBf16],
  ] as const)("and back is the same %s; a NaN stays one", (_, widen, narrow) => {
    const same = (half: number): boolean =>
      Number.isNaN(widen(half)) ? Number.isNaN(widen(narrow(widen(half)))) : narrow(widen(half)) === half;
    expect(HALVES.filter((half) => !same(half))).toEqual([]);
  });
});

/**
 * Rounding by search: of the two stored numbers around `value` the nearer one, in a tie the one whose bits are even. The
 * border to infinity lies half a step above the largest number.
 */
function roundBySearch(value: number, widen: (half: number) => number, infinity: number): number {
  const magnitude = Math.abs(value);
  let [low, high] = [0, infinity];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (widen(middle) <= magnitude) low = middle;
    else high = middle;
  }
  const below = widen(low);
  const above = high === infinity ? 2 * below - widen(low - 1) : widen(high);
  const nearer = magnitude - below - (above - magnitude);
  const rounded = nearer > 0 || (nearer === 0 && low % 2 === 1) ? high : low;
  return (value < 0 || Object.is(value, -0) ? 0x8000 : 0) + rounded;
}

describe.each([
  ["F16", f32ToF16, f16ToF32, 0x7c00],
  ["BF16", f32ToBf16, bf16ToF32, 0x7f80],
] as const)("float32 to %s rounds to the nearest, ties to even", (_, narrow, widen, infinity) => {
  const wrong = (values: readonly number[]): number[] =>
    values.filter((value) => narrow(value) !== roundBySearch(value, widen, infinity));

  it("halfway between all neighbours, and just beside", () => {
    const values: number[] = [];
    for (let half = 0; half < infinity; half++) {
      // Exact in float32: one more bit than the halves have.
      const above = half + 1 === infinity ? 2 * widen(half) - widen(half - 1) : widen(half + 1);
      const middle = Math.fround((widen(half) + above) / 2);
      if (!Number.isFinite(middle)) continue;
      view.setFloat32(0, middle);
      const bits = view.getUint32(0);
      values.push(middle, floatOf(bits - 1), floatOf(bits + 1), -middle);
    }
    expect(values.length).toBeGreaterThan(4 * 30_000);
    expect(wrong(values)).toEqual([]);
  });

  it("random bits of every exponent", () => {
    const random = new Random(7, "bits");
    const values = Array.from({ length: 200_000 }, () => floatOf(random.next())).filter(Number.isFinite);
    expect(wrong(values)).toEqual([]);
  });

  it("zeros, infinities and NaN", () => {
    expect([narrow(0), narrow(-0)]).toEqual([0, 0x8000]);
    expect([narrow(Number.POSITIVE_INFINITY), narrow(Number.NEGATIVE_INFINITY)]).toEqual([infinity, 0x8000 + infinity]);
    for (const bits of [0x7fffffff, 0x7f800001, 0xffc00000]) expect(widen(narrow(floatOf(bits)))).toBeNaN();
  });
});

describe("convertElements", () => {
  const values = [0, -0, 1, -2.5, 2 ** -24, 65_504, -0.1, 1 / 3].map(Math.fround);
  const encode: Readonly<Record<FloatDtype, Uint8Array>> = {
    F64: bytesOf(Float64Array.from(values)),
    F32: bytesOf(Float32Array.from(values)),
    F16: bytesOf(Uint16Array.from(values, f32ToF16)),
    BF16: bytesOf(Uint16Array.from(values, f32ToBf16)),
  };
  const decode = (bytes: Uint8Array, type: "F32" | "F16" | "BF16"): number[] => {
    if (type === "F32") return [...elements(bytes, Float32Array)];
    return Array.from(elements(bytes, Uint16Array), type === "F16" ? f16ToF32 : bf16ToF32);
  };
  const narrowed: Readonly<Record<FloatDtype, (value: number) => number>> = {
    F64: (value) => value,
    F32: (value) => value,
    F16: (value) => f16ToF32(f32ToF16(value)),
    BF16: (value) => bf16ToF32(f32ToBf16(value)),
  };
  const pairs = (["F64", "F32", "F16", "BF16"] as const).flatMap((from) =>
    (["F32", "F16", "BF16"] as const).map((to) => ({ from, to })),
  );

  it.each(pairs)("$from to $to", ({ from, to }) => {
    // 65504 is no bfloat16 and becomes 65536, which is no half.
    const finite = from === "BF16" && to === "F16" ? 5 : values.length;
    const input = encode[from].subarray(0, (encode[from].length / values.length) * finite);
    const expected = values.slice(0, finite).map((value) => narrowed[to](narrowed[from](value)));
    expect(decode(convertElements(input, from, to, "t"), to)).toEqual(expected);
  });

  it("reads bytes that are not aligned", () => {
    const padded = new Uint8Array(encode.F32.length + 1);
    padded.set(encode.F32, 1);
    expect(decode(convertElements(padded.subarray(1), "F32", "BF16", "t"), "BF16")).toEqual(values.map(narrowed.BF16));
  });

  it("hands the input on where nothing changes", () => {
    expect(convertElements(encode.F16, "F16", "F16", "t")).toBe(encode.F16);
  });

  it("rounds float64 by way of float32, as torch does", () => {
    const between = 1 + 2 ** -11 + 2 ** -40; // above the tie in float64, on it in float32
    const bytes = convertElements(bytesOf(Float64Array.of(between)), "F64", "F16", "t");
    expect(decode(bytes, "F16")).toEqual([1]);
  });

  it.each([
    ["F32", bytesOf(Float32Array.of(1, 65_520))],
    ["F64", bytesOf(Float64Array.of(1e300))],
    ["BF16", bytesOf(Uint16Array.of(0x7f7f))],
    ["F32", bytesOf(Float32Array.of(Number.NaN))],
    ["BF16", bytesOf(Uint16Array.of(0xff80))],
  ] as const)("refuses a number of %s that F16 cannot hold, by the tensor's name", (from, bytes) => {
    expect(() => convertElements(bytes, from, "F16", "blk.7.weight")).toThrow(
      expect.objectContaining({ code: "ERR_TENSOR", message: expect.stringMatching(/blk\.7\.weight.*bf16 or f32/) }),
    );
    expect(() => convertElements(bytes, from, "BF16", "t")).not.toThrow();
  });

  it("keeps 65519.996, the largest number that rounds down", () => {
    const bytes = convertElements(bytesOf(Float32Array.of(65_519.996)), "F32", "F16", "t");
    expect(decode(bytes, "F16")).toEqual([65_504]);
  });
});
