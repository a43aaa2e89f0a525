// Weight rows in ggml's quantised types → panels of codes. See simd_512.h for the linkage.
#pragma once

#include "code_types.h"
#include "integer_kernel.h"

namespace {

template <class Type>
void pack_codes(const Rows& rows, size_t first, size_t count, uint8_t* panel) {
  using Block = PanelBlock<Type::kCoding>;
  const uint8_t* pointers[kColumns];
  row_pointers(rows, pointers);
  auto* out = reinterpret_cast<Block*>(panel);
  const size_t begin = first / kBlock / Type::kBlocks, end = begin + count / kBlock / Type::kBlocks;
  for (size_t group = begin; group < end; group++, out += Type::kBlocks) {
    const size_t at = group * Type::kBytes;
    for (int v = 0; v < kVectors; v++) {
      const uint8_t* const* lanes = pointers + v * Simd::kLanes;
      const Type type(lanes, at);
#pragma GCC unroll 8
      for (int block = 0; block < Type::kBlocks; block++) {
        for (int half = 0; half < 2; half++) {
          Ints in[4], words[4];
          for (int i = 0; i < 4; i++) in[i] = Type::codes(lanes + i, at, block, half);
          transpose(in, words);
          for (int k = 0; k < 4; k++) Simd::store(out[block].codes[4 * half + k][v], words[k]);
        }
        for (int part = 0; part < Block::kScales; part++)
          Simd::store(out[block].scales[part][v], type.scales(block, part));
        if constexpr (Type::kCoding == Coding::minimum_32) Simd::store(out[block].minima[v], type.minima(block));
      }
    }
  }
}

template <class Type>
constexpr scorehead::accel::Kernel code_kernel() {
  using Block = PanelBlock<Type::kCoding>;
  return {kColumns,       kBlock * Type::kBlocks, kIntegerChunk,      kIntegerChunk / kBlock * sizeof(Block),
          code_bytes,     prepare_codes,          pack_codes<Type>,   multiply_codes<Type::kCoding>};
}

}  // namespace
