// Soft-max a block of scores at a time, in float32. See simd_512.h for the linkage.
#pragma once

#include "kernels.h"

namespace {

// e^x for x <= 0, to about 1e-7 relative; 0 for minus infinity, NaN for NaN. Cephes' polynomial.
inline Simd::Floats exponential(Simd::Floats x) {
  // The second operand comes through where one is NaN.
  x = Simd::max(Simd::all(-110.0f), x);
  const Simd::Floats n = Simd::round(Simd::multiply(x, Simd::all(1.44269504088896341f)));
  Simd::Floats r = Simd::negative_multiply_add(n, Simd::all(0.693359375f), x);
  r = Simd::negative_multiply_add(n, Simd::all(-2.12194440e-4f), r);
  constexpr float kPolynomial[] = {1.9875691500e-4f, 1.3981999507e-3f, 8.3334519073e-3f,
                                   4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f};
  Simd::Floats p = Simd::zero();
  for (const float coefficient : kPolynomial) p = Simd::multiply_add(p, r, Simd::all(coefficient));
  p = Simd::multiply_add(p, Simd::multiply(r, r), Simd::add(r, Simd::all(1.0f)));
  return Simd::scale_by_power(p, n);
}

inline void soft_max_row(const scorehead::accel::SoftMaxBlock& block) {
  const Simd::Floats scale = Simd::all(block.scale);
  Simd::Floats largest = Simd::all(*block.max);
  for (size_t i = 0; i < block.count; i += Simd::kLanes) {
    const Simd::Floats mask = block.mask ? Simd::load(block.mask + i) : Simd::zero();
    const Simd::Floats score = Simd::multiply_add(Simd::load(block.scores + i), scale, mask);
    Simd::store(block.scores + i, score);
    largest = Simd::max(score, largest);
  }
  const float before = *block.max, max = Simd::largest(largest);
  Simd::Floats sum = Simd::zero();
  for (size_t i = 0; i < block.count; i += Simd::kLanes) {
    const Simd::Floats p = exponential(Simd::add(Simd::load(block.scores + i), Simd::all(-max)));
    Simd::store(block.scores + i, p);
    sum = Simd::add(sum, p);
  }
  *block.max = max;
  if (max == before) {
    *block.sum += Simd::sum(sum);
    return;
  }
  float shrink[Simd::kLanes];
  Simd::store(shrink, exponential(Simd::all(before - max)));
  *block.sum = *block.sum * shrink[0] + Simd::sum(sum);
  for (size_t i = 0; i < block.out_count; i += Simd::kLanes)
    Simd::store(block.out + i, Simd::multiply(Simd::load(block.out + i), Simd::all(shrink[0])));
}

}  // namespace
