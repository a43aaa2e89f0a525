#include "reference.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace check {
namespace {

constexpr size_t kBlock = 32;

float from_bits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

uint16_t word(const uint8_t* p) { return static_cast<uint16_t>(p[0] | p[1] << 8); }

float half(const uint8_t* p) {
  const int bits = word(p), exponent = bits >> 10 & 31, fraction = bits & 1023;
  const float magnitude = exponent == 0    ? std::ldexp(static_cast<float>(fraction), -24)
                          : exponent == 31 ? (fraction ? NAN : INFINITY)
                                           : std::ldexp(static_cast<float>(1024 + fraction), exponent - 25);
  return bits >> 15 ? -magnitude : magnitude;
}

Weight coded(int code, float scale, float minimum = 0) {
  const float product = scale * static_cast<float>(code);
  return {product - minimum, code, scale, minimum};
}

Weight q8_0(const uint8_t* block, int i) { return coded(static_cast<int8_t>(block[2 + i]), half(block)); }

Weight q4_0(const uint8_t* block, int i) {
  return coded((i < 16 ? block[2 + i] & 15 : block[2 + i - 16] >> 4) - 8, half(block));
}

// Q4_K, and Q5_K with its fifth bits. `q` are 12 bytes of scales and minima of 6 bits.
Weight k_type(const uint8_t* block, int i, const uint8_t* codes, const uint8_t* fifth) {
  const int j = i / 32;
  const uint8_t* q = block + 4;
  const int scale = j < 4 ? q[j] & 63 : (q[j + 4] & 15) | (q[j - 4] >> 6) << 4;
  const int minimum = j < 4 ? q[j + 4] & 63 : q[j + 4] >> 4 | (q[j] >> 6) << 4;
  const uint8_t byte = codes[j / 2 * 32 + i % 32];
  const int code = (j % 2 ? byte >> 4 : byte & 15) | (fifth ? (fifth[i % 32] >> j & 1) << 4 : 0);
  return coded(code, half(block) * static_cast<float>(scale), half(block + 2) * static_cast<float>(minimum));
}

Weight q6_K(const uint8_t* block, int i) {
  const int part = i / 128, quarter = i % 128 / 32, at = i % 32;
  const uint8_t low = block[64 * part + 32 * (quarter % 2) + at], high = block[128 + 32 * part + at];
  const int code = (quarter < 2 ? low & 15 : low >> 4) | (high >> 2 * quarter & 3) << 4;
  return coded(code - 32, half(block + 208) * static_cast<float>(static_cast<int8_t>(block[192 + i / 16])));
}

Weight decode_one(ggml_type type, const uint8_t* row, size_t input) {
  const uint8_t* block = row;
  const auto in_block = [&](size_t inputs, size_t bytes) {
    block = row + input / inputs * bytes;
    return static_cast<int>(input % inputs);
  };
  switch (type) {
    case GGML_TYPE_Q8_0: { const int i = in_block(32, 34); return q8_0(block, i); }
    case GGML_TYPE_Q4_0: { const int i = in_block(32, 18); return q4_0(block, i); }
    case GGML_TYPE_Q4_K: { const int i = in_block(256, 144); return k_type(block, i, block + 16, nullptr); }
    case GGML_TYPE_Q5_K: { const int i = in_block(256, 176); return k_type(block, i, block + 48, block + 16); }
    case GGML_TYPE_Q6_K: { const int i = in_block(256, 210); return q6_K(block, i); }
    case GGML_TYPE_F16: return {half(row + 2 * input), 0, 0, 0};
    case GGML_TYPE_BF16: return {from_bits(static_cast<uint32_t>(word(row + 2 * input)) << 16), 0, 0, 0};
    default: return {from_bits(word(row + 4 * input) | static_cast<uint32_t>(word(row + 4 * input + 2)) << 16), 0, 0, 0};
  }
}

// 32 activations as codes: the largest magnitude becomes 127.
float quantise(const float* x, int (&codes)[kBlock]) {
  float largest = 0;
  for (size_t i = 0; i < kBlock; i++) largest = std::max(largest, std::fabs(x[i]));
  const bool zero = largest < 1e-36f;
  const float inverse = zero ? 0.0f : 127.0f / largest;
  for (size_t i = 0; i < kBlock; i++) codes[i] = static_cast<int>(std::nearbyint(x[i] * inverse));
  return zero ? 0.0f : largest / 127.0f;
}

// What a block of codes adds to a sum.
float add_block(ggml_type type, const Weight* weights, const float* x, float total) {
  int codes[kBlock], sum = 0;
  const float scale = quantise(x, codes);
  const size_t part = type == GGML_TYPE_Q6_K ? 16 : kBlock;
  for (size_t first = 0; first < kBlock; first += part) {
    int dot = 0;
    for (size_t i = first; i < first + part; i++) {
      dot += codes[i] * weights[i].code;
      sum += codes[i];
    }
    total = std::fmaf(static_cast<float>(dot), scale * weights[first].scale, total);
  }
  const bool minima = type == GGML_TYPE_Q4_K || type == GGML_TYPE_Q5_K;
  return minima ? std::fmaf(-(scale * static_cast<float>(sum)), weights[0].minimum, total) : total;
}

// As a vector's lanes are added up: each half to the other.
float sum_of_lanes(std::vector<float> lanes) {
  for (size_t half = lanes.size() / 2; half > 0; half /= 2)
    for (size_t i = 0; i < half; i++) lanes[i] += lanes[i + half];
  return lanes[0];
}

}  // namespace

bool is_quantised(ggml_type type) { return type != GGML_TYPE_F32 && type != GGML_TYPE_F16 && type != GGML_TYPE_BF16; }

std::vector<Weight> decode(ggml_type type, const uint8_t* row, size_t inputs) {
  std::vector<Weight> weights;
  for (size_t i = 0; i < inputs; i++) weights.push_back(decode_one(type, row, i));
  return weights;
}

float product(const scorehead::accel::Kernel& kernel, ggml_type type, const std::vector<Weight>& weights, const float* activations) {
  float out = 0;
  for (size_t first = 0; first < weights.size(); first += kernel.chunk_inputs) {
    const size_t end = std::min(weights.size(), first + kernel.chunk_inputs);
    float total = 0;
    if (kernel.prepare)
      for (size_t i = first; i < end; i += kBlock) total = add_block(type, &weights[i], activations + i, total);
    else
      for (size_t i = first; i < end; i++) total = std::fmaf(weights[i].value, activations[i], total);
    out = first == 0 ? total : out + total;
  }
  return out;
}

float direct_product(const scorehead::accel::Kernel& kernel, ggml_type type, const std::vector<Weight>& weights, const float* activations) {
  const size_t lane_count = kernel.columns / 2;
  std::vector<float> lanes(lane_count);
  const size_t block = is_quantised(type) ? kernel.input_step : 0;
  if (block > 0) {
    for (size_t i = 0; i < weights.size(); i += block) {
      float total = 0;
      for (size_t k = i; k < i + block; k += kBlock)
        total = add_block(type, &weights[k], activations + k, total);
      lanes[i / block % lane_count] += total;
    }
    return sum_of_lanes(lanes);
  }
  // Lanes of words of 4 bytes, with sums of their own for the first inputs of the words and for the second.
  const size_t word = type == GGML_TYPE_F32 ? 1 : 2;
  std::vector<float> seconds(lane_count);
  for (size_t i = 0; i < weights.size(); i++) {
    float& sum = (i % word == 0 ? lanes : seconds)[i / word % lane_count];
    sum = std::fmaf(weights[i].value, activations[i], sum);
  }
  for (size_t l = 0; l < lane_count; l++) lanes[l] += seconds[l];
  return sum_of_lanes(lanes);
}

}  // namespace check
