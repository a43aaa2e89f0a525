#include "attention.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace scorehead::accel {
namespace {

// Rows of a block: tokens times the heads that share a key head. Packing a block of keys is shared by so many.
constexpr size_t kRows = 96;
constexpr size_t kKeys = 64;
constexpr size_t kCacheLine = 64;
// Where a running maximum starts: lower than any score, and finite, so that a masked score less it is still minus infinity.
constexpr float kLowest = -1e30f;

size_t divide_up(size_t a, size_t b) { return (a + b - 1) / b; }
size_t round_up(size_t a, size_t b) { return divide_up(a, b) * b; }

}  // namespace

// A thread's memory, cut up.
struct Attention::Scratch {
  float *queries, *scores, *out, *max, *sum;
  uint8_t *keys, *values;
};

Attention::Attention(const Kernels& kernels, const Kernel& keys, const Kernel& values, const AttentionInputs& inputs)
    : kernels_(kernels),
      keys_(keys),
      values_(values),
      in_(inputs),
      group_(inputs.heads / inputs.key_heads),
      block_tokens_(std::max<size_t>(1, kRows / group_)) {}

bool Attention::fits(const Kernel& keys, const Kernel& values, size_t dimensions, size_t cells) {
  constexpr size_t kStep = 16;  // of the widest vectors
  return dimensions % kStep == 0 && dimensions <= keys.chunk_inputs && cells % kStep == 0 && keys.prepare == nullptr &&
         values.prepare == nullptr && kStep % keys.input_step == 0 && kStep % values.input_step == 0;
}

size_t Attention::scratch_bytes() const {
  const size_t rows = block_tokens_ * group_, dimensions = in_.dimensions;
  const size_t floats = rows * (2 * dimensions + kKeys + 2) + round_up(kKeys, keys_.columns) * dimensions +
                        round_up(dimensions, values_.columns) * kKeys;
  return floats * sizeof(float) + 7 * kCacheLine;
}

void Attention::compute(int, uint8_t* memory) {
  const size_t rows = block_tokens_ * group_, dimensions = in_.dimensions;
  const auto cut = [&](size_t floats) {
    uint8_t* part = memory;
    memory += round_up(floats * sizeof(float), kCacheLine);
    return part;
  };
  const auto cut_floats = [&](size_t floats) { return reinterpret_cast<float*>(cut(floats)); };
  const Scratch scratch = {cut_floats(rows * dimensions),
                           cut_floats(rows * kKeys),
                           cut_floats(rows * dimensions),
                           cut_floats(rows),
                           cut_floats(rows),
                           cut(round_up(kKeys, keys_.columns) * dimensions),
                           cut(round_up(dimensions, values_.columns) * kKeys)};
  const size_t blocks = divide_up(in_.tokens, block_tokens_);
  for (size_t item; (item = next_item_.take()) < blocks * in_.key_heads;) {
    // The last tokens, which see the most keys, first.
    const size_t first = (blocks - 1 - item / in_.key_heads) * block_tokens_;
    compute_block(item % in_.key_heads, first, std::min(block_tokens_, in_.tokens - first), scratch);
  }
}

const float* Attention::mask_row(size_t token) const {
  return in_.mask ? reinterpret_cast<const float*>(in_.mask + token * in_.mask_stride) : nullptr;
}

bool Attention::visible(size_t first_token, size_t tokens, size_t first_key, size_t keys) const {
  if (!in_.mask) return true;
  for (size_t t = first_token; t < first_token + tokens; t++) {
    const float* mask = mask_row(t) + first_key;
    // NaN counts as visible: it has to spoil the result.
    if (!std::all_of(mask, mask + keys, [](float x) { return x == -INFINITY; })) return true;
  }
  return false;
}

void Attention::compute_block(size_t key_head, size_t first_token, size_t tokens, const Scratch& scratch) const {
  const size_t dimensions = in_.dimensions, bytes = dimensions * sizeof(float);
  for (size_t g = 0; g < group_; g++)
    for (size_t t = 0; t < tokens; t++)
      std::memcpy(scratch.queries + (g * tokens + t) * dimensions,
                  in_.queries.data + (first_token + t) * in_.queries.row_stride + (key_head * group_ + g) * in_.queries.head_stride,
                  bytes);
  const size_t rows = group_ * tokens;
  std::fill_n(scratch.max, rows, kLowest);
  std::fill_n(scratch.sum, rows, 0.0f);
  std::fill_n(scratch.out, rows * dimensions, 0.0f);
  for (size_t key = 0; key < in_.keys; key += kKeys) {
    const size_t keys = std::min(kKeys, in_.keys - key);
    if (visible(first_token, tokens, key, keys)) add_keys(key_head, first_token, tokens, key, keys, scratch);
  }
  for (size_t g = 0; g < group_; g++)
    for (size_t t = 0; t < tokens; t++) {
      const size_t row = g * tokens + t;
      auto* to = reinterpret_cast<float*>(in_.out + (first_token + t) * in_.out_row_stride +
                                          (key_head * group_ + g) * in_.out_head_stride);
      // A token that sees no key at all has no result: 0 / 0 is NaN, which is found later.
      for (size_t i = 0; i < dimensions; i++) to[i] = scratch.out[row * dimensions + i] / scratch.sum[row];
    }
}

void Attention::add_keys(size_t key_head, size_t first_token, size_t tokens, size_t first_key, size_t keys,
                          const Scratch& scratch) const {
  const size_t dimensions = in_.dimensions, rows = group_ * tokens;
  Product product = {};
  product.rows = rows;
  const uint8_t* cached = in_.cached_keys.data + key_head * in_.cached_keys.head_stride + first_key * in_.cached_keys.row_stride;
  for (size_t key = 0; key < keys; key += keys_.columns) {
    product.columns = std::min(keys_.columns, keys - key);
    uint8_t* panel = scratch.keys + key * dimensions * sizeof(float);
    keys_.pack({cached + key * in_.cached_keys.row_stride, in_.cached_keys.row_stride, product.columns}, 0, dimensions, panel);
    product.activations = reinterpret_cast<const uint8_t*>(scratch.queries);
    product.activation_stride = dimensions * sizeof(float);
    product.panel = panel;
    product.count = dimensions;
    product.out = scratch.scores + key;
    product.out_stride = kKeys;
    keys_.multiply(product);
  }
  for (size_t row = 0; row < rows; row++) {
    const float* mask = mask_row(first_token + row % tokens);
    kernels_.soft_max_row({scratch.scores + row * kKeys, keys, in_.scale, mask ? mask + first_key : nullptr, scratch.max + row,
                           scratch.sum + row, scratch.out + row * dimensions, dimensions});
  }
  const uint8_t* values = in_.cached_values.data + key_head * in_.cached_values.head_stride;
  for (size_t d = 0; d < dimensions; d += values_.columns) {
    product.columns = std::min(values_.columns, dimensions - d);
    uint8_t* panel = scratch.values + d * kKeys * sizeof(float);
    values_.pack({values + d * in_.cached_values.row_stride, in_.cached_values.row_stride, product.columns}, first_key, keys, panel);
    product.activations = reinterpret_cast<const uint8_t*>(scratch.scores);
    product.activation_stride = kKeys * sizeof(float);
    product.panel = panel;
    product.count = keys;
    product.out = scratch.out + d;
    product.out_stride = dimensions;
    product.accumulate = true;
    values_.multiply(product);
  }
}

}  // namespace scorehead::accel
