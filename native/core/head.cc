#include "head.h"

namespace scorehead {
namespace {

// Sixteen partial sums: the compiler keeps them in vector registers without being allowed to reorder additions, the
// result is the same on every machine, and the rounding error grows with n/16 instead of n.
float dot(const float* a, const float* b, size_t n) {
  constexpr size_t kLanes = 16;
  float sums[kLanes] = {0};
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (size_t lane = 0; lane < kLanes; lane++) sums[lane] += a[i + lane] * b[i + lane];
  float total = 0;
  for (; i < n; i++) total += a[i] * b[i];
  for (float sum : sums) total += sum;
  return total;
}

}  // namespace

void Head::apply(const float* hidden, size_t rows, float* scores) const {
  for (size_t row = 0; row < rows; row++)
    for (size_t output = 0; output < outputs; output++)
      scores[row * outputs + output] = dot(hidden + row * hidden_size, weight.data() + output * hidden_size, hidden_size) +
                                       (bias.empty() ? 0.0f : bias[output]);
}

}  // namespace scorehead
