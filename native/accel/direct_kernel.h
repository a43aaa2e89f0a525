// Products of a few activation rows, straight from the weight rows: for so few, packing a panel costs more than multiplying by it.
// A lane has a block of a weight row, or a word of it, and the next lane the one that follows, so that rows are read from
// beginning to end; the lanes' sums are added up at the end of the row. See simd_512.h for the linkage.
#pragma once

#include "code_types.h"

namespace {

using scorehead::accel::DirectProduct;

// Activation rows that go through the weights together.
constexpr int kDirectTile = 4;

inline void prefetch(const uint8_t* from, size_t bytes) {
  constexpr size_t kAhead = 4096;
  for (size_t i = 0; i < bytes; i += kLine) _mm_prefetch(reinterpret_cast<const char*>(from + kAhead + i), _MM_HINT_T0);
}

// How blocks are dealt out to the lanes of vectors: a few rows together where that fills the vectors better.
struct Dealing {
  explicit Dealing(size_t blocks) : blocks(blocks) {
    for (size_t more = 1; more * blocks <= kShared; more++)
      if (used() < Dealing(blocks, more).used()) rows = more;
  }
  size_t vectors() const { return (rows * blocks + Simd::kLanes - 1) / Simd::kLanes; }

  static constexpr size_t kShared = 4 * Simd::kLanes;  // the most blocks of rows that share vectors
  size_t blocks;    // of a row
  size_t rows = 1;  // that share vectors

 private:
  Dealing(size_t blocks, size_t rows) : blocks(blocks), rows(rows) {}
  double used() const { return static_cast<double>(rows * blocks) / static_cast<double>(vectors()); }
};

template <class Type>
constexpr int kSumsOfBlock = Type::kCoding == Coding::offset_16 ? 2 : 1;

// The lanes' blocks of a vector; the last block again where there are no more.
inline void block_pointers(const Rows& rows, size_t bytes, const Dealing& dealing, size_t vector, const uint8_t* (&lanes)[Simd::kLanes]) {
  size_t row = vector * Simd::kLanes / dealing.blocks, block = vector * Simd::kLanes % dealing.blocks;
  for (const uint8_t*& lane : lanes) {
    lane = row < rows.count ? rows.data + row * rows.stride + block * bytes
                            : rows.data + (rows.count - 1) * rows.stride + (dealing.blocks - 1) * bytes;
    if (++block == dealing.blocks) {
      block = 0;
      row++;
    }
  }
}

inline float sum_of(const float* numbers, size_t count) {
  Floats total = Simd::zero();
  size_t i = 0;
  for (; i + Simd::kLanes <= count; i += Simd::kLanes) total = Simd::add(total, Simd::load(numbers + i));
  return Simd::sum(Simd::add(total, Simd::load_first(numbers + i, static_cast<int>(count - i))));
}

// `M` activation rows times all weight rows. The sums of a block are complete before they are scaled, as in a panel's product.
template <class Type, class Lanes, int M>
void direct_blocks(const DirectProduct& product, size_t first_row) {
  constexpr int kSums = kSumsOfBlock<Type>;
  const Rows& weights = product.weights;
  const Dealing dealing(product.inputs / kBlock / Type::kBlocks);
  const Lanes* activations[M];
  for (int m = 0; m < M; m++)
    activations[m] = reinterpret_cast<const Lanes*>(product.activations + (first_row + m) * product.activation_stride);
  for (size_t row = 0; row < weights.count; row += dealing.rows) {
    float block_sums[M][Dealing::kShared];
    Floats row_totals[M];
    for (int m = 0; m < M; m++) row_totals[m] = Simd::zero();
    const size_t rows = dealing.rows < weights.count - row ? dealing.rows : weights.count - row;
    for (size_t vector = 0; vector < dealing.vectors(); vector++) {
      const uint8_t* lanes[Simd::kLanes];
      block_pointers({weights.data + row * weights.stride, weights.stride, rows}, Type::kBytes, dealing, vector, lanes);
      Floats totals[M];
      for (int m = 0; m < M; m++) totals[m] = Simd::zero();
      const Lanes* x[M];
      for (int m = 0; m < M; m++) x[m] = activations[m] + vector;
      Ints sums[M][Type::kBlocks * kSums];
#pragma GCC unroll 8
      for (int p = 0; p < Type::kParts; p++) {
        // A little at a time: more reads at once than the processor keeps track of would hold it up.
        constexpr size_t kShare = Simd::kLanes * Type::kBytes / Type::kParts;
        prefetch(lanes[0] + p * kShare, kShare);
        const typename Type::Part part(lanes, 0, p);
#pragma GCC unroll 4
        for (int g = 0; g < Type::kGroups; g++) {
          const int group = Type::group(p, g), s = group * kSums / 2;
          Ints codes[4];
          for (int k = 0; k < 4; k++) codes[k] = part.codes(g, k);
#pragma GCC unroll 4
          for (int m = 0; m < M; m++) {
            Ints sum = kSums == 2 || group % 2 == 0 ? x[m]->start(s) : sums[m][s];
            for (int k = 0; k < 4; k++) sum = x[m]->add(sum, codes[k], group * 4 + k);
            sums[m][s] = sum;
          }
        }
      }
      const Type type(lanes, 0);
#pragma GCC unroll 8
      for (int b = 0; b < Type::kBlocks; b++) {
#pragma GCC unroll 2
        for (int half = 0; half < kSums; half++) {
          const Floats scale = type.scales(b, half);
          for (int m = 0; m < M; m++) totals[m] = x[m]->scaled(sums[m][b * kSums + half], scale, b, totals[m]);
        }
        if constexpr (has_minima(Type::kCoding)) {
          const Floats minimum = type.minima(b);
          for (int m = 0; m < M; m++) totals[m] = Simd::negative_multiply_add(Simd::load(x[m]->sums[b]), minimum, totals[m]);
        }
      }
      for (int m = 0; m < M; m++) {
        row_totals[m] = Simd::add(row_totals[m], totals[m]);
        if (dealing.rows > 1) Simd::store(block_sums[m] + vector * Simd::kLanes, totals[m]);
      }
    }
    for (int m = 0; m < M; m++) {
      float* out = product.out + (first_row + m) * product.out_stride + row;
      if (dealing.rows == 1)
        *out = Simd::sum(row_totals[m]);
      else
        for (size_t r = 0; r < rows; r++) out[r] = sum_of(block_sums[m] + r * dealing.blocks, dealing.blocks);
    }
  }
}

template <class Type, class Lanes>
struct DirectBlocks {
  template <int M>
  static void run(const DirectProduct& product, size_t first_row) {
    direct_blocks<Type, Lanes, M>(product, first_row);
  }
  static size_t bytes(size_t inputs) { return Dealing(inputs / kBlock / Type::kBlocks).vectors() * sizeof(Lanes); }
  static void arrange(const uint8_t* row, size_t inputs, uint8_t* arranged) {
    const Dealing dealing(inputs / kBlock / Type::kBlocks);
    __builtin_memset(arranged, 0, bytes(inputs));
    for (size_t i = 0; i < dealing.rows * dealing.blocks; i++)
      reinterpret_cast<Lanes*>(arranged)[i / Simd::kLanes].set(i % Simd::kLanes, row, i % dealing.blocks);
  }
};

// Words of 4 bytes that `Words` multiplies, a row's in the order that it has them in.
template <class Words, int M>
void direct_words(const DirectProduct& product, size_t first_row) {
  const size_t words = product.inputs / Words::kInputs;
  const uint8_t* x[M];
  for (int m = 0; m < M; m++) x[m] = product.activations + (first_row + m) * product.activation_stride;
  for (size_t row = 0; row < product.weights.count; row++) {
    const auto* from = reinterpret_cast<const float*>(product.weights.data + row * product.weights.stride);
    Floats totals[M][Words::kSums];
    for (int m = 0; m < M; m++)
      for (Floats& total : totals[m]) total = Simd::zero();
    for (size_t word = 0; word < words; word += Simd::kLanes) {
      prefetch(reinterpret_cast<const uint8_t*>(from + word), sizeof(Ints));
      const size_t left = words - word;
      const Floats loaded = left < Simd::kLanes ? Simd::load_first(from + word, static_cast<int>(left)) : Simd::load(from + word);
      for (int m = 0; m < M; m++) Words::add(totals[m], Simd::bits(loaded), x[m] + word * Words::kBytes);
    }
    for (int m = 0; m < M; m++) {
      Floats total = totals[m][0];
      for (int i = 1; i < Words::kSums; i++) total = Simd::add(total, totals[m][i]);
      product.out[(first_row + m) * product.out_stride + row] = Simd::sum(total);
    }
  }
}

template <class Words>
struct DirectWords {
  template <int M>
  static void run(const DirectProduct& product, size_t first_row) {
    direct_words<Words, M>(product, first_row);
  }
  static size_t bytes(size_t inputs) {
    const size_t words = inputs / Words::kInputs;
    return (words + Simd::kLanes - 1) / Simd::kLanes * Simd::kLanes * Words::kBytes;
  }
  static void arrange(const uint8_t* row, size_t inputs, uint8_t* arranged) {
    __builtin_memset(arranged, 0, bytes(inputs));
    Words::arrange(row, inputs, arranged);
  }
};

template <class Tile>
void multiply_direct(const DirectProduct& product) {
  for_each_tile<Tile, kDirectTile>(product);
}

template <class Tile>
constexpr scorehead::accel::Direct direct() {
  return {Tile::bytes, Tile::arrange, multiply_direct<Tile>};
}

}  // namespace
