// Reading ggml's quantised types, many rows side by side. The types' layouts come from ggml's own header; what the codes mean is
// in ggml/src/ggml-quants.c, and the tests compare with its dequantised numbers. See simd_512.h for the linkage.
#pragma once

#define GGML_COMMON_DECL_CPP
#include <ggml-common.h>

#include "panel_rows.h"

namespace {

constexpr size_t kBlock = 32;
// Codes are unsigned; those of signed types are stored plus this.
constexpr int kOffset = Simd::kOffset;

// What codes mean: weight = scale * (code - kOffset), with a scale for each 32 or 16 inputs, or
// weight = scale * code - minimum, with both for each 32. Where sums are narrow, codes of 8 bits are stored as they are, signed,
// and those of 5 bits plus half of kOffset: weight = scale * (code - kOffset / 2) - minimum.
enum class Coding { offset_32, offset_16, minimum_32, signed_32, raised_minimum_32 };

constexpr bool has_minima(Coding coding) { return coding == Coding::minimum_32 || coding == Coding::raised_minimum_32; }

// The same byte four times.
constexpr int32_t four_of(int byte) { return static_cast<int32_t>(0x01010101u * byte); }

// The scale that a block of 32 begins with.
inline Floats leading_half(const uint8_t* const* rows, size_t offset) {
  Ints words[4];
  gather_words(rows, offset, words);
  return Simd::half_to_floats(words[0]);
}

// Each type says how many blocks of 32 its own block has, of how many bytes. What it makes of `rows`, the rows of the lanes, with
// `at` the byte offset of its block:
// - `scales`, and `minima` where its coding has them;
// - `Part`: the codes that come from the same bytes, kParts in number, kGroups groups of 16 inputs in each. group() says which
//   16 inputs of the block a group is, and codes() gives word `k` (4 inputs) of it, for all lanes.

struct Q8_0 {
  static constexpr Coding kCoding = Simd::kNarrowSums ? Coding::signed_32 : Coding::offset_32;
  static constexpr int kBlocks = 1, kParts = 2, kGroups = 1;
  static constexpr size_t kBytes = sizeof(block_q8_0);
  Floats scale;
  Q8_0(const uint8_t* const* rows, size_t at) : scale(leading_half(rows, at)) {}
  Floats scales(int, int) const { return scale; }

  struct Part {
    Ints words[4];
    Part(const uint8_t* const* rows, size_t at, int part) { gather_words(rows, at + offsetof(block_q8_0, qs) + 16 * part, words); }
    Ints codes(int, int k) const {
      return kCoding == Coding::signed_32 ? words[k] : Simd::add_bytes(words[k], Simd::all(four_of(kOffset)));
    }
  };
  static int group(int part, int) { return part; }
};

// The lower or upper four bits of each byte.
inline Ints nibbles(Ints words, int upper) {
  return Simd::both(upper == 0 ? words : Simd::right(words, 4), Simd::all(0x0F0F0F0F));
}

struct Q4_0 {
  static constexpr Coding kCoding = Coding::offset_32;
  static constexpr int kBlocks = 1, kParts = 1, kGroups = 2;
  static constexpr size_t kBytes = sizeof(block_q4_0);
  Floats scale;
  Q4_0(const uint8_t* const* rows, size_t at) : scale(leading_half(rows, at)) {}
  Floats scales(int, int) const { return scale; }

  struct Part {
    Ints words[4];
    Part(const uint8_t* const* rows, size_t at, int) { gather_words(rows, at + offsetof(block_q4_0, qs), words); }
    Ints codes(int half, int k) const {
      return Simd::add_bytes(nibbles(words[k], half), Simd::all(four_of(kOffset - 8)));
    }
  };
  static int group(int, int half) { return half; }
};

// What Q4_K and Q5_K have in common: 8 blocks with scales and minima of 6 bits, in 12 bytes. A part is the same half of two
// neighbouring blocks.
template <class Block>
struct SixBitScales {
  static constexpr Coding kCoding = Coding::minimum_32;
  static constexpr int kBlocks = 8, kParts = 8, kGroups = 2;
  static constexpr size_t kBytes = sizeof(Block);
  Floats scale, minimum;
  Ints words[4];  // of the block's first 16 bytes: both half-precision numbers, then the 12 bytes
  SixBitScales(const uint8_t* const* rows, size_t at) {
    gather_words(rows, at, words);
    scale = Simd::half_to_floats(words[0]);
    minimum = Simd::half_to_floats(Simd::right(words[0], 16));
  }
  Floats scales(int block, int) const { return Simd::multiply(scale, Simd::to_floats(six_bits(block, words[1], 0))); }
  Floats minima(int block) const { return Simd::multiply(minimum, Simd::to_floats(six_bits(block, words[2], 4))); }
  static int group(int part, int upper) { return part / 2 * 4 + 2 * upper + part % 2; }

 private:
  // Blocks 0-3 have their 6 bits in one byte each of `own`; the 2 bits above are the upper ones of block + 4, whose lower 4
  // are in the last word, at `shift`.
  Ints six_bits(int block, Ints own, int shift) const {
    if (block < 4) return Simd::both(Simd::right(own, 8 * block), Simd::all(63));
    const int byte = 8 * (block - 4);
    const Ints lower = Simd::both(Simd::right(words[3], byte + shift), Simd::all(15));
    return Simd::either(lower, Simd::left(Simd::both(Simd::right(own, byte + 6), Simd::all(3)), 4));
  }
};

struct Q4_K : SixBitScales<block_q4_K> {
  using SixBitScales::SixBitScales;
  struct Part {
    Ints words[4];
    Part(const uint8_t* const* rows, size_t at, int part) { gather_words(rows, at + offsetof(block_q4_K, qs) + 16 * part, words); }
    Ints codes(int upper, int k) const { return nibbles(words[k], upper); }
  };
};

struct Q5_K : SixBitScales<block_q5_K> {
  using SixBitScales::SixBitScales;
  static constexpr Coding kCoding = Simd::kNarrowSums ? Coding::raised_minimum_32 : Coding::minimum_32;
  struct Part {
    Ints words[4], fifth[4];
    int pair;  // of blocks
    Part(const uint8_t* const* rows, size_t at, int part) : pair(part / 2) {
      gather_words(rows, at + offsetof(block_q5_K, qs) + 16 * part, words);
      gather_words(rows, at + offsetof(block_q5_K, qh) + 16 * (part % 2), fifth);
    }
    Ints codes(int upper, int k) const {
      const int bit = 2 * pair + upper;
      const Ints high = bit < 4 ? Simd::left(fifth[k], 4 - bit) : Simd::right(fifth[k], bit - 4);
      const Ints low = upper == 0 ? words[k] : Simd::right(words[k], 4);
      const Ints five = Simd::both(Simd::select(Simd::all(0x0F0F0F0F), low, high), Simd::all(0x1F1F1F1F));
      return kCoding == Coding::raised_minimum_32 ? Simd::add_bytes(five, Simd::all(four_of(kOffset / 2))) : five;
    }
  };
};

// 16 blocks of 16. A part is 16 inputs from each of four blocks of 32.
struct Q6_K {
  static constexpr Coding kCoding = Coding::offset_16;
  static constexpr int kBlocks = 8, kParts = 4, kGroups = 4;
  static constexpr size_t kBytes = sizeof(block_q6_K);
  Floats scale;
  Ints words[4];  // the 16 signed scales
  Q6_K(const uint8_t* const* rows, size_t at) {
    gather_words(rows, at + offsetof(block_q6_K, scales), words);
    Ints last[4];  // the block's last 16 bytes, which end with its scale: nothing beyond the block is read
    gather_words(rows, at + sizeof(block_q6_K) - 16, last);
    scale = Simd::half_to_floats(Simd::right(last[3], 16));
  }
  Floats scales(int block, int half) const {
    const int index = 2 * block + half;
    const Ints byte = Simd::right_signed(Simd::left(words[index / 4], 24 - 8 * (index % 4)), 24);
    return Simd::multiply(scale, Simd::to_floats(byte));
  }

  struct Part {
    Ints low[2][4], high[4];
    Part(const uint8_t* const* rows, size_t at, int part) {
      const int eighth = part / 2, half = part % 2;
      for (int i = 0; i < 2; i++)
        gather_words(rows, at + offsetof(block_q6_K, ql) + 64 * eighth + 32 * i + 16 * half, low[i]);
      gather_words(rows, at + offsetof(block_q6_K, qh) + 32 * eighth + 16 * half, high);
    }
    Ints codes(int quarter, int k) const {
      const Ints four = quarter < 2 ? low[quarter % 2][k] : Simd::right(low[quarter % 2][k], 4);
      // The quarter's two upper bits, moved to their place.
      const Ints two = quarter < 2 ? Simd::left(high[k], 4 - 2 * quarter) : Simd::right(high[k], 2 * quarter - 4);
      const Ints six = Simd::both(Simd::select(Simd::all(0x0F0F0F0F), four, two), Simd::all(0x3F3F3F3F));
      return Simd::add_bytes(six, Simd::all(four_of(kOffset - 32)));
    }
  };
  static int group(int part, int quarter) { return part / 2 * 8 + 2 * quarter + part % 2; }
};

}  // namespace
