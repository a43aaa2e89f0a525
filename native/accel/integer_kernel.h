// Products of 8-bit codes: activations in blocks of 32 signed codes with a scale each, weights as unsigned codes with a
// scale for each 32 or 16, as their type has it. Sums of a block are exact integers; blocks are added in float32, in order.
// See simd_512.h for the linkage.
#pragma once

#include "code_types.h"

namespace {

// One panel: 32 (16) outputs times this many inputs are 64 (32) KiB of codes, which stay in the L2 cache.
constexpr size_t kIntegerChunk = 2048;

// 32 activations of a prepared row: their codes, and what the products need of them beside.
struct CodeBlock {
  int8_t codes[kBlock];
  float scale;
  float sum;              // scale * sum of the codes
  int32_t raised;         // kOffset / 2 * sum of the codes
  int32_t correction[3];  // -kOffset * sum of the codes of the first half, the second half, and both, for `dot` to add to
};

inline size_t code_bytes(size_t inputs) { return inputs / kBlock * sizeof(CodeBlock); }

// The largest magnitude of a block as bits: NaN counts as larger than infinity, so that it spoils the block's scale and
// cannot get lost.
inline Simd::Ints magnitude_bits(const float* x) {
  const Simd::Ints mask = Simd::all(0x7FFFFFFF);
  Simd::Ints largest = Simd::both(Simd::bits(Simd::load(x)), mask);
  for (size_t i = Simd::kLanes; i < kBlock; i += Simd::kLanes)
    largest = Simd::max(largest, Simd::both(Simd::bits(Simd::load(x + i)), mask));
  return largest;
}

// Below this, 127 / magnitude is infinite; such a block is taken as zeros.
constexpr float kLeastMagnitude = 1e-36f;

inline void prepare_codes(const float* row, size_t inputs, uint8_t* prepared) {
  auto* to = reinterpret_cast<CodeBlock*>(prepared);
  for (const float* x = row; x < row + inputs; x += kBlock, to++) {
    const int32_t bits = Simd::largest(magnitude_bits(x));
    float largest;
    __builtin_memcpy(&largest, &bits, sizeof(largest));
    const bool zero = largest < kLeastMagnitude;
    const Simd::Floats inverse = Simd::all(zero ? 0.0f : 127.0f / largest);
    Simd::Ints halves[2] = {Simd::all(0), Simd::all(0)};
    for (size_t i = 0; i < kBlock; i += Simd::kLanes) {
      // The maximum is of NaN alone, which must become a code for the sums' sake; the block's scale is not finite then.
      const Simd::Floats scaled = Simd::max(Simd::multiply(Simd::load(x + i), inverse), Simd::all(-127.0f));
      const Simd::Ints codes = Simd::round_to_ints(scaled);
      Simd::store_bytes(to->codes + i, codes);
      halves[i / 16] = Simd::add(halves[i / 16], codes);
    }
    int32_t sums[3][2];
    for (int half = 0; half < 2; half++) Simd::sum_in_lane(halves[half], sums[half]);
    for (int i = 0; i < 2; i++) sums[2][i] = sums[0][i] + sums[1][i];
    const int32_t sum = sums[2][0] + sums[2][1];
    to->scale = zero ? 0.0f : largest / 127.0f;
    to->sum = to->scale * static_cast<float>(sum);
    to->raised = kOffset / 2 * sum;
    for (int i = 0; i < 3; i++) to->correction[i] = Simd::lane({-kOffset * sums[i][0], -kOffset * sums[i][1]});
  }
}

// One block of a panel.
template <Coding coding>
struct PanelBlock {
  static constexpr int kScales = coding == Coding::offset_16 ? 2 : 1;
  uint8_t codes[kBlock / 4][kVectors][Simd::kLanes][4];
  float scales[kScales][kVectors][Simd::kLanes];
  float minima[has_minima(coding) ? kVectors : 0][Simd::kLanes];
};

inline int32_t four_codes(const int8_t* codes) {
  int32_t four;
  __builtin_memcpy(&four, codes, sizeof(four));
  return four;
}

// Where a sum starts, so that the weights' offset falls out of it.
template <Coding coding>
int32_t start_of_sum(const CodeBlock& x, int part) {
  if constexpr (coding == Coding::minimum_32 || coding == Coding::signed_32) return 0;
  return x.correction[coding == Coding::offset_16 ? part : 2];
}

// What `dot` has added up, in 32 bits and without what codes are raised by.
template <Coding coding>
Simd::Ints end_of_sum(Simd::Ints sum, Simd::Ints raised) {
  if constexpr (coding == Coding::signed_32) return sum;
  if constexpr (coding == Coding::raised_minimum_32) return Simd::add(Simd::whole(sum), raised);
  return Simd::whole(sum);
}

// `M` activation rows times a panel.
template <Coding coding, int M>
void integer_tile(const Product& product, size_t first_row) {
  using Block = PanelBlock<coding>;
  constexpr int kSteps = kBlock / 4 / Block::kScales;
  // A tile of few rows waits for each sum before it can add to it again, unless it has two to add to in turn. Narrow sums are
  // added to in a step of their own, which is short.
  constexpr bool kTwoChains = M <= 2 && !Simd::kNarrowSums;
  const CodeBlock* rows[M];
  Simd::Floats totals[M][kVectors];
  for (int m = 0; m < M; m++) {
    const uint8_t* row = product.activations + (first_row + m) * product.activation_stride;
    rows[m] = reinterpret_cast<const CodeBlock*>(row) + product.first / kBlock;
    for (int v = 0; v < kVectors; v++) totals[m][v] = Simd::zero();
  }
  const auto* block = reinterpret_cast<const Block*>(product.panel);
  for (const Block* end = block + product.count / kBlock; block < end; block++) {
#pragma GCC unroll 2
    for (int part = 0; part < Block::kScales; part++) {
      Simd::Ints sums[M][kVectors], others[M][kVectors];
#pragma GCC unroll 8
      for (int m = 0; m < M; m++)
        for (int v = 0; v < kVectors; v++) {
          sums[m][v] = Simd::all(start_of_sum<coding>(*rows[m], part));
          others[m][v] = Simd::all(0);
        }
#pragma GCC unroll 8
      for (int step = 0; step < kSteps; step++) {
        const int k = part * kSteps + step;
        Simd::Ints weights[kVectors];
        for (int v = 0; v < kVectors; v++) weights[v] = Simd::load(block->codes[k][v]);
#pragma GCC unroll 8
        for (int m = 0; m < M; m++) {
          const Simd::Ints x = Simd::all(four_codes(rows[m]->codes + 4 * k));
          for (int v = 0; v < kVectors; v++) {
            Simd::Ints& sum = kTwoChains && step % 2 == 1 ? others[m][v] : sums[m][v];
            sum = Simd::dot<coding == Coding::signed_32>(sum, weights[v], x);
          }
        }
      }
      if constexpr (kTwoChains)
        for (int m = 0; m < M; m++)
          for (int v = 0; v < kVectors; v++) sums[m][v] = Simd::add(sums[m][v], others[m][v]);
      Simd::Floats scales[kVectors];
      for (int v = 0; v < kVectors; v++) scales[v] = Simd::load(block->scales[part][v]);
#pragma GCC unroll 8
      for (int m = 0; m < M; m++) {
        const Simd::Floats scale = Simd::all(rows[m]->scale);
        for (int v = 0; v < kVectors; v++) {
          const Simd::Floats sum = Simd::to_floats(end_of_sum<coding>(sums[m][v], Simd::all(rows[m]->raised)));
          totals[m][v] = Simd::multiply_add(sum, Simd::multiply(scale, scales[v]), totals[m][v]);
        }
      }
    }
    if constexpr (has_minima(coding)) {
#pragma GCC unroll 8
      for (int m = 0; m < M; m++) {
        const Simd::Floats sum = Simd::all(rows[m]->sum);
        for (int v = 0; v < kVectors; v++)
          totals[m][v] = Simd::negative_multiply_add(sum, Simd::load(block->minima[v]), totals[m][v]);
      }
    }
#pragma GCC unroll 8
    for (int m = 0; m < M; m++) rows[m]++;
  }
  store_tile<M>(product, first_row, totals);
}

template <Coding coding>
struct IntegerTile {
  template <int M>
  static void run(const Product& product, size_t first_row) {
    integer_tile<coding, M>(product, first_row);
  }
};

template <Coding coding>
void multiply_codes(const Product& product) {
  for_each_tile<IntegerTile<coding>, Simd::kIntegerTile>(product);
}

}  // namespace
