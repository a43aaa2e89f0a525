// The vector operations that the kernels are written in, for AVX2 with FMA and F16C, and AVX-VNNI where the unit is
// compiled for it. Only included by such translation units; everything has internal linkage.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace {

struct Simd {
  using Floats = __m256;
  using Ints = __m256i;
  static constexpr int kLanes = 8;
  static constexpr int kIntegerTile = 3;  // rows: 2 x 3 sums, 2 x 3 totals, 2 weights and a row's codes in 16 registers
  static constexpr int kFloatTile = 6;    // rows: 2 x 6 sums, 2 weights and a row's number

  static Floats zero() { return _mm256_setzero_ps(); }
  static Floats all(float x) { return _mm256_set1_ps(x); }
  static Floats load(const float* p) { return _mm256_loadu_ps(p); }
  static void store(float* p, Floats x) { _mm256_storeu_ps(p, x); }
  static Floats load_first(const float* p, int n) { return _mm256_maskload_ps(p, first(n)); }
  static void store_first(float* p, Floats x, int n) { _mm256_maskstore_ps(p, first(n), x); }
  static Floats add(Floats a, Floats b) { return _mm256_add_ps(a, b); }
  static Floats multiply(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
  static Floats max(Floats a, Floats b) { return _mm256_max_ps(a, b); }
  static Floats min(Floats a, Floats b) { return _mm256_min_ps(a, b); }
  static Floats multiply_add(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }           // a*b + c
  static Floats negative_multiply_add(Floats a, Floats b, Floats c) { return _mm256_fnmadd_ps(a, b, c); }  // c - a*b
  static float sum(Floats x) {
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
  }
  static float largest(Floats x) {
    __m128 half = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    half = _mm_max_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_max_ss(half, _mm_movehdup_ps(half)));
  }
  static Floats round(Floats x) { return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  // x * 2^n for whole n; underflows to 0. In two steps, as 2^n alone may be too small for a normal number.
  static Floats scale_by_power(Floats x, Floats n) {
    const Ints whole = _mm256_cvtps_epi32(_mm256_max_ps(n, _mm256_set1_ps(-252)));
    const Ints half = _mm256_srai_epi32(whole, 1);
    return _mm256_mul_ps(_mm256_mul_ps(x, power(half)), power(_mm256_sub_epi32(whole, half)));
  }

  static Ints all(int32_t x) { return _mm256_set1_epi32(x); }
  static Ints load(const void* p) { return _mm256_loadu_si256(static_cast<const Ints*>(p)); }
  static void store(void* p, Ints x) { _mm256_storeu_si256(static_cast<Ints*>(p), x); }
  static Ints both(Ints a, Ints b) { return _mm256_and_si256(a, b); }
  static Ints either(Ints a, Ints b) { return _mm256_or_si256(a, b); }
  // Bits of `a` where `mask` has ones, else of `b`.
  static Ints select(Ints mask, Ints a, Ints b) {
    return _mm256_or_si256(_mm256_and_si256(mask, a), _mm256_andnot_si256(mask, b));
  }
  static Ints add_bytes(Ints a, Ints b) { return _mm256_add_epi8(a, b); }
  static Ints left(Ints a, int bits) { return _mm256_slli_epi32(a, bits); }
  static Ints right(Ints a, int bits) { return _mm256_srli_epi32(a, bits); }
  static Ints right_signed(Ints a, int bits) { return _mm256_srai_epi32(a, bits); }
  static Ints add(Ints a, Ints b) { return _mm256_add_epi32(a, b); }
  static Ints max(Ints a, Ints b) { return _mm256_max_epi32(a, b); }
  static int32_t largest(Ints a) {
    __m128i half = _mm_max_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    half = _mm_max_epi32(half, _mm_shuffle_epi32(half, _MM_SHUFFLE(1, 0, 3, 2)));
    return _mm_cvtsi128_si32(_mm_max_epi32(half, _mm_shuffle_epi32(half, _MM_SHUFFLE(2, 3, 0, 1))));
  }
  static int32_t sum(Ints a) {
    __m128i half = _mm_add_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
    half = _mm_add_epi32(half, _mm_shuffle_epi32(half, _MM_SHUFFLE(1, 0, 3, 2)));
    return _mm_cvtsi128_si32(_mm_add_epi32(half, _mm_shuffle_epi32(half, _MM_SHUFFLE(2, 3, 0, 1))));
  }
  static Ints round_to_ints(Floats x) { return _mm256_cvtps_epi32(x); }
  static Floats to_floats(Ints x) { return _mm256_cvtepi32_ps(x); }
  static Ints bits(Floats x) { return _mm256_castps_si256(x); }
  static Floats floats(Ints x) { return _mm256_castsi256_ps(x); }
  // Writes the lanes, which fit a signed byte, as bytes.
  static void store_bytes(int8_t* p, Ints x) {
    const __m128i words = low_words(x);
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packs_epi16(words, words));
  }
  // The half-precision number in the lower 16 bits of each lane.
  static Floats half_to_floats(Ints x) {
    return _mm256_cvtph_ps(_mm_packus_epi32(_mm_and_si128(_mm256_castsi256_si128(x), _mm_set1_epi32(0xFFFF)),
                                            _mm_and_si128(_mm256_extracti128_si256(x, 1), _mm_set1_epi32(0xFFFF))));
  }

  // The 16 bytes at `offset` of rows 0 and 4.
  static Ints gather(const uint8_t* const* rows, size_t offset) {
    const auto part = [&](int row) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[row] + offset)); };
    return _mm256_inserti128_si256(_mm256_castsi128_si256(part(0)), part(4), 1);
  }
  static Ints unpack_low_32(Ints a, Ints b) { return _mm256_unpacklo_epi32(a, b); }
  static Ints unpack_high_32(Ints a, Ints b) { return _mm256_unpackhi_epi32(a, b); }
  static Ints unpack_low_64(Ints a, Ints b) { return _mm256_unpacklo_epi64(a, b); }
  static Ints unpack_high_64(Ints a, Ints b) { return _mm256_unpackhi_epi64(a, b); }

  // Products of bytes. `dot` adds those of four unsigned and four signed bytes, or of signed ones alone, to the sum in each lane,
  // and `whole` makes 32 bits of a sum of the former. Where no instruction does all of that, sums are narrow: a lane has two of
  // 16 bits, of the first two products of each four and of the last two. They may overflow on the way, but not in the end:
  // codes of 6 bits are -32 to 31 without kOffset, and 16 inputs of them are 32 * 127 * 8 at most in either sum. `sum_in_lane` is
  // what codes (a word each, of 16 or 32 inputs) add up to where they are multiplied by ones, and `lane` what a lane has of it.
#ifdef __AVXVNNI__
  static constexpr int kOffset = 128;
  static constexpr bool kNarrowSums = false;
  template <bool kSigned = false>
  static Ints dot(Ints sum, Ints unsigned_bytes, Ints signed_bytes) {
    static_assert(!kSigned);
    return _mm256_dpbusd_avx_epi32(sum, unsigned_bytes, signed_bytes);
  }
  static Ints whole(Ints sum) { return sum; }
  static void sum_in_lane(Ints codes, int32_t (&sums)[2]) { sums[0] = sum(codes), sums[1] = 0; }
  static int32_t lane(const int32_t (&sums)[2]) { return sums[0]; }
#else
  static constexpr int kOffset = 32;
  static constexpr bool kNarrowSums = true;
  template <bool kSigned = false>
  static Ints dot(Ints sum, Ints a, Ints signed_bytes) {
    // Two products of a signed code of 8 bits are all that 16 bits hold.
    if constexpr (kSigned)
      sum = add(sum, whole(_mm256_maddubs_epi16(_mm256_abs_epi8(a), _mm256_sign_epi8(signed_bytes, a))));
    else
      sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(a, signed_bytes));
    __asm__("" : "+x"(sum));  // Or GCC adds up in an order that takes more registers than there are.
    return sum;
  }
  static Ints whole(Ints sum) { return _mm256_madd_epi16(sum, _mm256_set1_epi16(1)); }
  static void sum_in_lane(Ints codes, int32_t (&sums)[2]) {
    const __m128i half = _mm_add_epi32(_mm256_castsi256_si128(codes), _mm256_extracti128_si256(codes, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(sums), _mm_hadd_epi32(half, half));
  }
  static int32_t lane(const int32_t (&sums)[2]) {
    return static_cast<int32_t>(static_cast<uint16_t>(sums[0]) | static_cast<uint32_t>(sums[1]) << 16);
  }
#endif

 private:
  static Ints first(int n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
  static Floats power(Ints n) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
  }
  static __m128i low_words(Ints x) {
    return _mm_packs_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
  }
};

}  // namespace
