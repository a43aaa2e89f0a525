#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <thread>

#include "attention.h"
#include "check.h"
#include "stock.h"

namespace check {
namespace {

using namespace scorehead::accel;

struct Shape {
  size_t tokens, heads, key_heads, keys, dimensions;
};

// Numbers of an attention: queries [heads, tokens, dimensions], keys [key_heads, keys, dimensions], values
// [key_heads, dimensions, keys], mask [tokens, keys].
struct Numbers {
  std::vector<float> queries, keys, values, mask;
};

enum class Mask { causal, scattered, one_key, all };

std::vector<float> make_mask(const Shape& shape, Mask kind, Random& random) {
  std::vector<float> mask(shape.tokens * shape.keys, -INFINITY);
  for (size_t t = 0; t < shape.tokens; t++) {
    const size_t last = shape.keys - shape.tokens + t;
    for (size_t k = 0; k < shape.keys; k++) {
      const bool scattered = random.bits() % 8 == 0;
      if (kind == Mask::all || (kind == Mask::causal && k <= last) || (kind == Mask::scattered && scattered)) mask[t * shape.keys + k] = 0;
    }
    if (kind != Mask::all) mask[t * shape.keys + (kind == Mask::one_key ? (7 * t) % shape.keys : last)] = 0;
  }
  return mask;
}

// As the cache holds them.
std::vector<uint8_t> stored(ggml_type type, std::vector<float>& numbers, size_t row) {
  const std::vector<uint8_t> bytes = quantise(type, numbers, row);
  numbers = dequantise(type, bytes, row);
  return bytes;
}

std::vector<float> accelerated(const Kernels& kernels, ggml_type cache, const Shape& s, Numbers& n, float scale, int threads) {
  const std::vector<uint8_t> keys = stored(cache, n.keys, s.dimensions), values = stored(cache, n.values, s.keys);
  const size_t size = cache == GGML_TYPE_F32 ? 4 : 2;
  std::vector<float> out(s.heads * s.tokens * s.dimensions, 12345.0f);
  AttentionInputs in = {};
  in.tokens = s.tokens;
  in.heads = s.heads;
  in.key_heads = s.key_heads;
  in.keys = s.keys;
  in.dimensions = s.dimensions;
  in.scale = scale;
  in.queries = {reinterpret_cast<const uint8_t*>(n.queries.data()), s.dimensions * 4, s.tokens * s.dimensions * 4};
  in.cached_keys = {keys.data(), s.dimensions * size, s.keys * s.dimensions * size};
  in.cached_values = {values.data(), s.keys * size, s.dimensions * s.keys * size};
  in.mask = reinterpret_cast<const uint8_t*>(n.mask.data());
  in.mask_stride = s.keys * 4;
  in.out = reinterpret_cast<uint8_t*>(out.data());
  in.out_row_stride = s.dimensions * 4;
  in.out_head_stride = s.tokens * s.dimensions * 4;
  const Kernel& kernel = *kernels.kernel(cache);
  if (!Attention::fits(kernel, kernel, s.dimensions, s.keys)) throw std::runtime_error("an attention does not fit its kernels");
  Attention attention(kernels, kernel, kernel, in);
  constexpr size_t kCacheLine = 64;
  const size_t scratch = (attention.scratch_bytes() + kCacheLine - 1) / kCacheLine * kCacheLine;
  std::unique_ptr<uint8_t[], decltype(&std::free)> memory(
      static_cast<uint8_t*>(std::aligned_alloc(kCacheLine, scratch * threads)), &std::free);
  attention.use_scratch(memory.get(), scratch);
  std::vector<std::thread> others;
  for (int t = 1; t < threads; t++) others.emplace_back([&, t] { attention.run(t, threads); });
  attention.run(0, threads);
  for (std::thread& other : others) other.join();
  return out;
}

// One head's result for one token.
std::vector<double> exact(const Shape& s, const Numbers& n, float scale, size_t head, size_t token) {
  const size_t key_head = head / (s.heads / s.key_heads);
  const float* query = &n.queries[(head * s.tokens + token) * s.dimensions];
  std::vector<double> weights(s.keys), out(s.dimensions);
  double largest = -INFINITY, sum = 0;
  for (size_t k = 0; k < s.keys; k++) {
    for (size_t d = 0; d < s.dimensions; d++)
      weights[k] += static_cast<double>(query[d]) * n.keys[(key_head * s.keys + k) * s.dimensions + d];
    weights[k] = weights[k] * scale + n.mask[token * s.keys + k];
    largest = std::max(largest, weights[k]);
  }
  for (double& weight : weights) sum += weight = std::exp(weight - largest);
  for (size_t d = 0; d < s.dimensions; d++)
    for (size_t k = 0; k < s.keys; k++) out[d] += weights[k] / sum * n.values[(key_head * s.dimensions + d) * s.keys + k];
  return out;
}

double error_of(const Kernels& kernels, ggml_type cache, const Shape& s, Mask mask, Random& random) {
  const auto numbers = [&](size_t count) {
    std::vector<float> out(count);
    for (float& x : out) x = random.activation();
    return out;
  };
  Numbers n = {numbers(s.heads * s.tokens * s.dimensions), numbers(s.key_heads * s.keys * s.dimensions),
               numbers(s.key_heads * s.keys * s.dimensions), make_mask(s, mask, random)};
  const float scale = 1 / std::sqrt(static_cast<float>(s.dimensions));
  const std::vector<float> found = accelerated(kernels, cache, s, n, scale, 1);
  double largest = 0, worst = 0;
  for (size_t h = 0; h < s.heads; h++)
    for (size_t t = 0; t < s.tokens; t++) {
      const std::vector<double> expected = exact(s, n, scale, h, t);
      for (size_t d = 0; d < s.dimensions; d++) {
        const double difference = std::abs(found[(h * s.tokens + t) * s.dimensions + d] - expected[d]);
        if (!(difference <= 1e3)) throw std::runtime_error("an attention is far off");
        worst = std::max(worst, difference);
        largest = std::max(largest, std::abs(expected[d]));
      }
    }
  if (accelerated(kernels, cache, s, n, scale, 3) != found) throw std::runtime_error("threads change an attention");
  // What no token sees must not matter, not even a NaN that an earlier text left; but for the blocks that some token sees.
  return worst / largest;
}

}  // namespace

double attention_error(const Kernels& kernels, ggml_type cache) {
  Random random(17);
  double worst = 0;
  for (const Shape& shape : {Shape{1, 1, 1, 32, 16}, Shape{5, 4, 2, 32, 16}, Shape{17, 8, 1, 96, 64}, Shape{33, 3, 3, 256, 80},
                             Shape{100, 4, 4, 160, 128}, Shape{31, 2, 2, 64, 256}, Shape{130, 8, 2, 288, 32}})
    for (const Mask mask : {Mask::causal, Mask::scattered, Mask::one_key, Mask::all})
      if (shape.keys >= shape.tokens) worst = std::max(worst, error_of(kernels, cache, shape, mask, random));
  return worst;
}

}  // namespace check
