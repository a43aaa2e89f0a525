// The linear score head: score = W·h + b, in float32.
#pragma once

#include <cstddef>
#include <vector>

namespace scorehead {

struct Head {
  std::vector<float> weight;  // row-major [outputs, hidden_size]
  std::vector<float> bias;    // [outputs], or empty
  size_t outputs = 0;
  size_t hidden_size = 0;

  // `hidden`: [rows, hidden_size]; `scores`: [rows, outputs].
  void apply(const float* hidden, size_t rows, float* scores) const;
};

}  // namespace scorehead
