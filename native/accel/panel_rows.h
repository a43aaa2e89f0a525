// Reading weight rows side by side: the same words of many rows into one vector. See simd_512.h for the linkage.
#pragma once

#include "tiles.h"

namespace {

using scorehead::accel::Rows;
using Ints = Simd::Ints;
using Floats = Simd::Floats;

// The lanes' rows; where the matrix ends before the panel, its last row again, whose results are not stored.
inline void row_pointers(const Rows& rows, const uint8_t* (&pointers)[kColumns]) {
  for (size_t i = 0; i < kColumns; i++) pointers[i] = rows.data + (i < rows.count ? i : rows.count - 1) * rows.stride;
}

// 4 x 4 words: in[i] holds 16 bytes of row i (and i + 4, …), out[k] holds word k of every row.
inline void transpose(const Ints (&in)[4], Ints (&out)[4]) {
  const Ints a = Simd::unpack_low_32(in[0], in[1]), b = Simd::unpack_high_32(in[0], in[1]);
  const Ints c = Simd::unpack_low_32(in[2], in[3]), d = Simd::unpack_high_32(in[2], in[3]);
  out[0] = Simd::unpack_low_64(a, c);
  out[1] = Simd::unpack_high_64(a, c);
  out[2] = Simd::unpack_low_64(b, d);
  out[3] = Simd::unpack_high_64(b, d);
}

// The words of 16 bytes of every row: word k in lane j is that of row j.
inline void gather_words(const uint8_t* const* rows, size_t offset, Ints (&words)[4]) {
  Ints in[4];
  for (int i = 0; i < 4; i++) in[i] = Simd::gather(rows + i, offset);
  transpose(in, words);
}

constexpr size_t kLine = 64;

// Reads rows ahead into the cache. So many at once are more than the processor foresees by itself; with this they come three
// times as fast. Where the panel's part of the rows ends, it goes on with the rows after the panel's.
class ReadAhead {
 public:
  ReadAhead(const Rows& rows, size_t begin, size_t end)
      : begin_(rows.data), stride_(rows.stride), end_(end), jump_(kColumns * rows.stride + begin - end) {}

  // `bytes` of each row at `at` are about to be read.
  void operator()(size_t at, size_t bytes) const {
    size_t ahead = at + kAhead;
    if (ahead >= end_) ahead += jump_;
    for (size_t row = 0; row < kColumns; row++)
      for (size_t byte = 0; byte < bytes; byte += kLine)
        _mm_prefetch(reinterpret_cast<const char*>(begin_ + row * stride_ + ahead + byte), _MM_HINT_T0);
  }

 private:
  static constexpr size_t kAhead = 512;
  const uint8_t* begin_;
  size_t stride_, end_, jump_;
};

}  // namespace
