// What the kernels are to compute, in plain C++ and in their order of operations, so that results are equal to the last bit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels.h"

namespace check {

// A weight is scale * code - minimum, with no minimum in some types and no code in float types.
struct Weight {
  float value;
  int code;
  float scale;
  float minimum;
};

bool is_quantised(ggml_type type);

std::vector<Weight> decode(ggml_type type, const uint8_t* row, size_t inputs);

// One number of a product. Not for a kernel that rounds to bf16: its instruction adds up in a way of its own.
float product(const scorehead::accel::Kernel& kernel, ggml_type type, const std::vector<Weight>& weights, const float* activations);

// The same as it is computed for a few activation rows, without panels.
float direct_product(const scorehead::accel::Kernel& kernel, ggml_type type, const std::vector<Weight>& weights, const float* activations);

}  // namespace check
