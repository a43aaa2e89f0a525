// The vector operations that the kernels are written in, for AVX-512. Only included by translation units that are
// compiled for it; everything has internal linkage, so that no other unit can end up with this code.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace {

struct Simd {
  using Floats = __m512;
  using Ints = __m512i;
  static constexpr int kLanes = 16;
  static constexpr int kIntegerTile = 6;  // rows: 2 x 6 sums, 2 x 6 totals and 2 weights in 32 registers
  static constexpr int kFloatTile = 12;   // rows: 2 x 12 sums and 2 weights

  static Floats zero() { return _mm512_setzero_ps(); }
  static Floats all(float x) { return _mm512_set1_ps(x); }
  static Floats load(const float* p) { return _mm512_loadu_ps(p); }
  static void store(float* p, Floats x) { _mm512_storeu_ps(p, x); }
  static Floats load_first(const float* p, int n) { return _mm512_maskz_loadu_ps(first(n), p); }
  static void store_first(float* p, Floats x, int n) { _mm512_mask_storeu_ps(p, first(n), x); }
  static Floats add(Floats a, Floats b) { return _mm512_add_ps(a, b); }
  static Floats multiply(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
  static Floats max(Floats a, Floats b) { return _mm512_max_ps(a, b); }
  static Floats min(Floats a, Floats b) { return _mm512_min_ps(a, b); }
  static Floats multiply_add(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }           // a*b + c
  static Floats negative_multiply_add(Floats a, Floats b, Floats c) { return _mm512_fnmadd_ps(a, b, c); }  // c - a*b
  static float sum(Floats x) { return _mm512_reduce_add_ps(x); }
  static float largest(Floats x) { return _mm512_reduce_max_ps(x); }
  static Floats round(Floats x) { return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  // x * 2^n for whole n; underflows to 0.
  static Floats scale_by_power(Floats x, Floats n) { return _mm512_scalef_ps(x, n); }

  static Ints all(int32_t x) { return _mm512_set1_epi32(x); }
  static Ints load(const void* p) { return _mm512_loadu_si512(p); }
  static void store(void* p, Ints x) { _mm512_storeu_si512(p, x); }
  static Ints both(Ints a, Ints b) { return _mm512_and_si512(a, b); }
  static Ints either(Ints a, Ints b) { return _mm512_or_si512(a, b); }
  // Bits of `a` where `mask` has ones, else of `b`.
  static Ints select(Ints mask, Ints a, Ints b) { return _mm512_ternarylogic_epi32(mask, a, b, 0xCA); }
  static Ints add_bytes(Ints a, Ints b) { return _mm512_add_epi8(a, b); }
  static Ints left(Ints a, int bits) { return _mm512_slli_epi32(a, bits); }
  static Ints right(Ints a, int bits) { return _mm512_srli_epi32(a, bits); }
  static Ints right_signed(Ints a, int bits) { return _mm512_srai_epi32(a, bits); }
  static Ints add(Ints a, Ints b) { return _mm512_add_epi32(a, b); }
  static Ints max(Ints a, Ints b) { return _mm512_max_epi32(a, b); }
  static int32_t largest(Ints a) { return _mm512_reduce_max_epi32(a); }
  static int32_t sum(Ints a) { return _mm512_reduce_add_epi32(a); }
  static Ints round_to_ints(Floats x) { return _mm512_cvtps_epi32(x); }
  static Floats to_floats(Ints x) { return _mm512_cvtepi32_ps(x); }
  static Ints bits(Floats x) { return _mm512_castps_si512(x); }
  static Floats floats(Ints x) { return _mm512_castsi512_ps(x); }
  // Writes the lanes, which fit a signed byte, as bytes.
  static void store_bytes(int8_t* p, Ints x) { _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(x)); }
  // The half-precision number in the lower 16 bits of each lane.
  static Floats half_to_floats(Ints x) { return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(x)); }

  // The 16 bytes at `offset` of rows 0, 4, 8 and 12.
  static Ints gather(const uint8_t* const* rows, size_t offset) {
    const auto part = [&](int row) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[row] + offset)); };
    const __m256i low = _mm256_inserti128_si256(_mm256_castsi128_si256(part(0)), part(4), 1);
    const __m256i high = _mm256_inserti128_si256(_mm256_castsi128_si256(part(8)), part(12), 1);
    return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
  }
  static Ints unpack_low_32(Ints a, Ints b) { return _mm512_unpacklo_epi32(a, b); }
  static Ints unpack_high_32(Ints a, Ints b) { return _mm512_unpackhi_epi32(a, b); }
  static Ints unpack_low_64(Ints a, Ints b) { return _mm512_unpacklo_epi64(a, b); }
  static Ints unpack_high_64(Ints a, Ints b) { return _mm512_unpackhi_epi64(a, b); }

  // Products of bytes, as in simd_256.h.
  static constexpr int kOffset = 128;
  static constexpr bool kNarrowSums = false;
#ifdef __AVX512VNNI__
  template <bool kSigned = false>
  static Ints dot(Ints sum, Ints unsigned_bytes, Ints signed_bytes) {
    static_assert(!kSigned);
    return _mm512_dpbusd_epi32(sum, unsigned_bytes, signed_bytes);
  }
  static Ints whole(Ints sum) { return sum; }
  static void sum_in_lane(Ints codes, int32_t (&sums)[2]) { sums[0] = sum(codes), sums[1] = 0; }
  static int32_t lane(const int32_t (&sums)[2]) { return sums[0]; }
#endif

 private:
  static __mmask16 first(int n) { return static_cast<__mmask16>((1u << n) - 1); }
};

}  // namespace
