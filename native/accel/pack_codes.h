// Weight rows in ggml's quantised types → panels of codes. See simd_512.h for the linkage.
#pragma once

#include "code_types.h"
#include "direct_kernel.h"
#include "integer_kernel.h"

namespace {

template <class Type>
void pack_codes(const Rows& rows, size_t first, size_t count, uint8_t* panel) {
  using Block = PanelBlock<Type::kCoding>;
  const uint8_t* pointers[kColumns];
  row_pointers(rows, pointers);
  auto* out = reinterpret_cast<Block*>(panel);
  const size_t begin = first / kBlock / Type::kBlocks, end = begin + count / kBlock / Type::kBlocks;
  const ReadAhead read_ahead(rows, begin * Type::kBytes, end * Type::kBytes);
  for (size_t block = begin; block < end; block++, out += Type::kBlocks) {
    const size_t at = block * Type::kBytes;
    read_ahead(at, Type::kBytes);
    for (int v = 0; v < kVectors; v++) {
      const uint8_t* const* lanes = pointers + v * Simd::kLanes;
#pragma GCC unroll 8
      for (int p = 0; p < Type::kParts; p++) {
        const typename Type::Part part(lanes, at, p);
#pragma GCC unroll 4
        for (int g = 0; g < Type::kGroups; g++) {
          const int group = Type::group(p, g);
          for (int k = 0; k < 4; k++) Simd::store(out[group / 2].codes[group % 2 * 4 + k][v], part.codes(g, k));
        }
      }
      const Type type(lanes, at);
#pragma GCC unroll 8
      for (int b = 0; b < Type::kBlocks; b++) {
        for (int half = 0; half < Block::kScales; half++) Simd::store(out[b].scales[half][v], type.scales(b, half));
        if constexpr (has_minima(Type::kCoding)) Simd::store(out[b].minima[v], type.minima(b));
      }
    }
  }
}

// Activations as codes: what a vector of blocks is multiplied by without a panel.
template <class Type>
struct CodeLanes {
  static constexpr Coding kCoding = Type::kCoding;
  static constexpr int kSums = kSumsOfBlock<Type>;
  int32_t words[Type::kBlocks * kBlock / 4][Simd::kLanes];
  int32_t starts[Type::kBlocks * kSums][Simd::kLanes];
  int32_t raised[Type::kBlocks][Simd::kLanes];
  float scales[Type::kBlocks][Simd::kLanes];
  float sums[Type::kBlocks][Simd::kLanes];

  void set(int lane, const uint8_t* row, size_t block) {
    const CodeBlock* x = reinterpret_cast<const CodeBlock*>(row) + block * Type::kBlocks;
    for (int b = 0; b < Type::kBlocks; b++) {
      for (int k = 0; k < static_cast<int>(kBlock / 4); k++) words[b * kBlock / 4 + k][lane] = four_codes(x[b].codes + 4 * k);
      for (int part = 0; part < kSums; part++)
        starts[b * kSums + part][lane] = start_of_sum<kCoding>(x[b], part);
      raised[b][lane] = x[b].raised;
      scales[b][lane] = x[b].scale;
      sums[b][lane] = x[b].sum;
    }
  }
  Ints start(int sum) const { return Simd::load(starts[sum]); }
  Ints add(Ints sum, Ints codes, int word) const {
    return Simd::dot<kCoding == Coding::signed_32>(sum, codes, Simd::load(words[word]));
  }
  Floats scaled(Ints sum, Floats scale, int b, Floats total) const {
    const Ints whole = end_of_sum<kCoding>(sum, Simd::load(raised[b]));
    return Simd::multiply_add(Simd::to_floats(whole), Simd::multiply(Simd::load(scales[b]), scale), total);
  }
};

template <class Type>
constexpr scorehead::accel::Kernel code_kernel() {
  using Block = PanelBlock<Type::kCoding>;
  return {kColumns,   kBlock * Type::kBlocks, kIntegerChunk,    kIntegerChunk / kBlock * sizeof(Block),
          code_bytes, prepare_codes,          pack_codes<Type>, multiply_codes<Type::kCoding>,
          direct<DirectBlocks<Type, CodeLanes<Type>>>()};
}

}  // namespace
