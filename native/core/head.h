// The score head: linear layers with an activation between them, in float32.
#pragma once

#include <cstddef>
#include <vector>

namespace scorehead {

enum class Activation { relu, tanh };

struct Layer {
  std::vector<float> weight;  // row-major [outputs, inputs]
  std::vector<float> bias;    // [outputs], or empty
  size_t outputs = 0;
  size_t inputs = 0;
};

struct Network {
  std::vector<Layer> layers;  // each takes what the one before it puts out
  Activation activation = Activation::relu;

  bool empty() const { return layers.empty(); }
  size_t inputs() const { return empty() ? 0 : layers.front().inputs; }
  size_t outputs() const { return empty() ? 0 : layers.back().outputs; }

  // [rows, inputs()] → [rows, outputs()]. The same numbers for any number of threads.
  std::vector<float> apply(const float* hidden, size_t rows, size_t threads) const;
};

}  // namespace scorehead
