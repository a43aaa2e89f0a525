// Products of floats: weights of any float type as a float32 panel, float32 activations. Included by all translation units
// of instruction sets; see simd_512.h for the linkage.
#pragma once

#include "direct_kernel.h"

namespace {

// Inputs that are added up in one go. Sums of sums lose less to rounding than one long sum.
constexpr size_t kFloatChunk = 512;

template <int M>
void float_tile(const Product& product, size_t first_row) {
  Simd::Floats totals[M][kVectors];
  const float* rows[M];
  for (int m = 0; m < M; m++) {
    rows[m] = reinterpret_cast<const float*>(product.activations + (first_row + m) * product.activation_stride) + product.first;
    for (int v = 0; v < kVectors; v++) totals[m][v] = Simd::zero();
  }
  const auto* panel = reinterpret_cast<const float*>(product.panel);
#pragma GCC unroll 2
  for (size_t k = 0; k < product.count; k++, panel += kColumns) {
    Simd::Floats weights[kVectors];
    for (int v = 0; v < kVectors; v++) weights[v] = Simd::load(panel + v * Simd::kLanes);
#pragma GCC unroll 12
    for (int m = 0; m < M; m++) {
      const Simd::Floats x = Simd::all(rows[m][k]);
      for (int v = 0; v < kVectors; v++) totals[m][v] = Simd::multiply_add(weights[v], x, totals[m][v]);
    }
  }
  store_tile<M>(product, first_row, totals);
}

struct FloatTile {
  template <int M>
  static void run(const Product& product, size_t first_row) {
    float_tile<M>(product, first_row);
  }
};

inline void multiply_floats(const Product& product) { for_each_tile<FloatTile, Simd::kFloatTile>(product); }

// Each float type says how many inputs a word of 4 bytes holds, and the number of input `i` of the words.

struct F32 {
  static constexpr int kInputs = 1;
  static Floats numbers(Ints words, int) { return Simd::floats(words); }
};
struct F16 {
  static constexpr int kInputs = 2;
  static Floats numbers(Ints words, int i) { return Simd::half_to_floats(Simd::right(words, 16 * i)); }
};
struct BF16 {
  static constexpr int kInputs = 2;
  static Floats numbers(Ints words, int i) {
    return Simd::floats(i == 0 ? Simd::left(words, 16) : Simd::both(words, Simd::all(static_cast<int32_t>(0xFFFF0000))));
  }
};

template <class Type>
void pack_floats(const Rows& rows, size_t first, size_t count, uint8_t* panel) {
  const uint8_t* pointers[kColumns];
  row_pointers(rows, pointers);
  constexpr size_t kStep = 4 * Type::kInputs;  // inputs of 16 bytes
  const ReadAhead read_ahead(rows, first * 4 / Type::kInputs, (first + count) * 4 / Type::kInputs);
  auto* out = reinterpret_cast<float*>(panel);
  for (size_t k = 0; k < count; k += kStep) {
    const size_t at = (first + k) * 4 / Type::kInputs;
    if (at % kLine == 0) read_ahead(at, kLine);
    for (int v = 0; v < kVectors; v++) {
      Ints words[4];
      gather_words(pointers + v * Simd::kLanes, at, words);
      for (int word = 0; word < 4; word++)
        for (int i = 0; i < Type::kInputs; i++)
          Simd::store(out + (k + word * Type::kInputs + i) * kColumns + v * Simd::kLanes, Type::numbers(words[word], i));
    }
  }
}

// A float type's words without a panel: the first inputs of a vector of words, then the second ones.
template <class Type>
struct FloatWords {
  static constexpr size_t kInputs = Type::kInputs;
  static constexpr int kSums = Type::kInputs;
  static constexpr size_t kBytes = kInputs * sizeof(float);  // of activations for a word

  static void arrange(const uint8_t* row, size_t inputs, uint8_t* arranged) {
    const auto* x = reinterpret_cast<const float*>(row);
    auto* to = reinterpret_cast<float*>(arranged);
    constexpr size_t kStep = kInputs * Simd::kLanes;
    for (size_t i = 0; i < inputs; i++) to[i / kStep * kStep + i % kInputs * Simd::kLanes + i % kStep / kInputs] = x[i];
  }
  static void add(Floats (&totals)[kSums], Ints words, const uint8_t* x) {
    for (int i = 0; i < kSums; i++) {
      const Floats numbers = Simd::load(reinterpret_cast<const float*>(x) + i * Simd::kLanes);
      totals[i] = Simd::multiply_add(Type::numbers(words, i), numbers, totals[i]);
    }
  }
};

template <class Type>
constexpr scorehead::accel::Kernel float_kernel() {
  return {kColumns, 4 * Type::kInputs, kFloatChunk,       kFloatChunk * kColumns * sizeof(float),
          nullptr,  nullptr,           pack_floats<Type>, multiply_floats,
          direct<DirectWords<FloatWords<Type>>>()};
}

}  // namespace
