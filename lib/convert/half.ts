/** Single numbers of 16 bits and back, rounding to nearest even. */
const bits = new Uint32Array(1);
const float = new Float32Array(bits.buffer);

/** The float32 with the bits of a bfloat16. */
export function bf16ToF32(half: number): number {
  bits[0] = half << 16;
  return float[0] as number;
}

export function f16ToF32(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

export function f32ToBf16(value: number): number {
  float[0] = value;
  const raw = bits[0] as number;
  // A NaN stays one: rounding could carry its payload into infinity.
  if ((raw & 0x7fffffff) > 0x7f800000) return (raw >>> 16) | 0x40;
  return ((raw + 0x7fff + ((raw >>> 16) & 1)) >>> 16) & 0xffff;
}

export function f32ToF16(value: number): number {
  float[0] = value;
  const raw = bits[0] as number;
  const sign = (raw >>> 16) & 0x8000;
  const magnitude = raw & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= 0x477ff000) return sign | 0x7c00; // 65520 and above round to infinity
  // Below the smallest normal number the step is 2^-24, which is what adding 0.5 leaves in the fraction.
  if (magnitude < 0x38800000) {
    float[0] = Math.abs(value) + 0.5;
    return sign | ((bits[0] as number) - 0x3f000000);
  }
  return sign | ((magnitude + 0xfff + ((magnitude >>> 13) & 1) - 0x38000000) >>> 13);
}
