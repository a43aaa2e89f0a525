// Products of bf16 numbers in pairs, added up in float32: activations are rounded to bf16, as llama.cpp does for such weights.
// See simd_512.h for the linkage.
#pragma once

#include "direct_kernel.h"

namespace {

// A word of a row is two inputs.
constexpr size_t kPair = 2;
constexpr size_t kBf16Chunk = 1024;

constexpr size_t bf16_bytes(size_t inputs) { return inputs * sizeof(uint16_t); }

inline void prepare_bf16(const float* row, size_t inputs, uint8_t* prepared) {
  for (size_t i = 0; i < inputs; i += Simd::kLanes)
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(prepared + bf16_bytes(i)),
                        reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(_mm512_loadu_ps(row + i))));
}

inline void pack_bf16(const Rows& rows, size_t first, size_t count, uint8_t* panel) {
  const uint8_t* pointers[kColumns];
  row_pointers(rows, pointers);
  auto* out = reinterpret_cast<Ints*>(panel);
  const ReadAhead read_ahead(rows, bf16_bytes(first), bf16_bytes(first + count));
  for (size_t k = 0; k < count; k += 4 * kPair, out += 4 * kVectors) {
    const size_t at = bf16_bytes(first + k);
    if (at % kLine == 0) read_ahead(at, kLine);
    for (int v = 0; v < kVectors; v++) {
      Ints words[4];
      gather_words(pointers + v * Simd::kLanes, at, words);
      for (int word = 0; word < 4; word++) Simd::store(out + word * kVectors + v, words[word]);
    }
  }
}

template <int M>
void bf16_tile(const Product& product, size_t first_row) {
  Simd::Floats totals[M][kVectors];
  const uint8_t* rows[M];
  for (int m = 0; m < M; m++) {
    rows[m] = product.activations + (first_row + m) * product.activation_stride + bf16_bytes(product.first);
    for (int v = 0; v < kVectors; v++) totals[m][v] = Simd::zero();
  }
  const auto* panel = reinterpret_cast<const Ints*>(product.panel);
#pragma GCC unroll 2
  for (size_t k = 0; k < product.count; k += kPair, panel += kVectors) {
    Ints weights[kVectors];
    for (int v = 0; v < kVectors; v++) weights[v] = Simd::load(panel + v);
#pragma GCC unroll 12
    for (int m = 0; m < M; m++) {
      int32_t pair;
      __builtin_memcpy(&pair, rows[m] + bf16_bytes(k), sizeof(pair));
      const auto x = reinterpret_cast<__m512bh>(Simd::all(pair));
      for (int v = 0; v < kVectors; v++)
        totals[m][v] = _mm512_dpbf16_ps(totals[m][v], reinterpret_cast<__m512bh>(weights[v]), x);
    }
  }
  store_tile<M>(product, first_row, totals);
}

struct Bf16Tile {
  template <int M>
  static void run(const Product& product, size_t first_row) {
    bf16_tile<M>(product, first_row);
  }
};

inline void multiply_bf16(const Product& product) { for_each_tile<Bf16Tile, Simd::kFloatTile>(product); }

// Without a panel: words of both in the same order.
struct Bf16Words {
  static constexpr size_t kInputs = kPair;
  static constexpr int kSums = 1;
  static constexpr size_t kBytes = bf16_bytes(kPair);

  static void arrange(const uint8_t* row, size_t inputs, uint8_t* arranged) { __builtin_memcpy(arranged, row, bf16_bytes(inputs)); }
  static void add(Floats (&totals)[kSums], Ints words, const uint8_t* x) {
    totals[0] = _mm512_dpbf16_ps(totals[0], reinterpret_cast<__m512bh>(words), reinterpret_cast<__m512bh>(Simd::load(x)));
  }
};

constexpr scorehead::accel::Kernel bf16_kernel() {
  return {kColumns,   Simd::kLanes, kBf16Chunk, kBf16Chunk * kColumns * sizeof(uint16_t),
          bf16_bytes, prepare_bf16, pack_bf16,  multiply_bf16,
          direct<DirectWords<Bf16Words>>()};
}

}  // namespace
