// How a product is cut into register tiles, and how a tile is stored. See simd_512.h for the linkage.
#pragma once

#include "kernels.h"

namespace {

using scorehead::accel::Product;

constexpr int kVectors = 2;  // of columns in a panel
constexpr int kColumns = kVectors * Simd::kLanes;

template <int M>
void store_tile(const Product& product, size_t first_row, const Simd::Floats (&totals)[M][kVectors]) {
  for (int m = 0; m < M; m++) {
    float* out = product.out + (first_row + m) * product.out_stride;
    for (int v = 0; v < kVectors; v++) {
      const int left = static_cast<int>(product.columns) - v * Simd::kLanes;
      float* to = out + v * Simd::kLanes;
      if (left >= Simd::kLanes) {
        Simd::store(to, product.accumulate ? Simd::add(Simd::load(to), totals[m][v]) : totals[m][v]);
      } else if (left > 0) {
        const Simd::Floats before = product.accumulate ? Simd::load_first(to, left) : Simd::zero();
        Simd::store_first(to, product.accumulate ? Simd::add(before, totals[m][v]) : totals[m][v], left);
      }
    }
  }
}

// The last rows, fewer than a whole tile.
template <class Tile, int M, class Of>
void last_rows(const Of& product, size_t first_row) {
  if constexpr (M > 0) {
    if (product.rows - first_row == M)
      Tile::template run<M>(product, first_row);
    else
      last_rows<Tile, M - 1>(product, first_row);
  }
}

template <class Tile, int kMost, class Of>
void for_each_tile(const Of& product) {
  size_t row = 0;
  for (; row + kMost <= product.rows; row += kMost) Tile::template run<kMost>(product, row);
  last_rows<Tile, kMost - 1>(product, row);
}

}  // namespace
