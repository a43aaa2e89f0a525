// What the checks have in common. A check throws where something is wrong.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "kernels.h"

namespace check {

using scorehead::accel::Kernels;

constexpr ggml_type kTypes[] = {GGML_TYPE_Q8_0, GGML_TYPE_Q4_0, GGML_TYPE_Q4_K, GGML_TYPE_Q5_K,
                                GGML_TYPE_Q6_K, GGML_TYPE_BF16, GGML_TYPE_F16,  GGML_TYPE_F32};
const char* type_name(ggml_type type);

// The same numbers on every machine.
class Random {
 public:
  explicit Random(uint32_t seed) : state_(seed * 2654435761u + 1) {}
  uint32_t bits() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 17;
    return state_ ^= state_ << 5;
  }
  float between(float low, float high) { return low + (high - low) * static_cast<float>(bits() >> 8) / (1 << 24); }
  // Roughly normal, with a large one now and then, as activations are.
  float activation() {
    float sum = 0;
    for (int i = 0; i < 6; i++) sum += between(-1, 1);
    return bits() % 97 == 0 ? 12 * sum : sum;
  }

 private:
  uint32_t state_;
};

// Results are equal to plain C++ to the last bit: all sizes, all contents. Returns how many numbers were compared.
size_t check_bits(const Kernels& kernels, ggml_type type);

// A NaN or an infinity among the activations spoils its row's results, and no other's.
void check_spoiled(const Kernels& kernels, ggml_type type);

// Any number of threads computes the same.
void check_threads(const Kernels& kernels, ggml_type type);

// The root mean square error against float64, over that of llama.cpp on the same weights and activations.
double relative_error(const Kernels& kernels, ggml_type type);

// The largest error of attentions of all sizes against float64, relative to the largest value.
double attention_error(const Kernels& kernels, ggml_type cache);

}  // namespace check
