// Attention of a micro-batch over the KV cache: Q·K, soft-max and the weighted sum of V in one go, in float32, without holding
// the scores of a whole row, and without computing blocks of keys that no token of a block of tokens sees.
#pragma once

#include <cstdint>

#include "kernels.h"
#include "task.h"
#include "team.h"

namespace scorehead::accel {

// Numbers of one head after the other; strides in bytes.
struct Heads {
  const uint8_t* data;
  size_t row_stride;
  size_t head_stride;
};

struct AttentionInputs {
  size_t tokens, heads, key_heads;
  size_t keys;        // cells of the cache; a multiple of 32
  size_t dimensions;  // of a head
  float scale;
  Heads queries;  // float32, a row a token
  Heads cached_keys;    // a row a cell
  Heads cached_values;  // transposed: a row a dimension
  const uint8_t* mask;  // float32, a row a token; null: every token sees every key
  size_t mask_stride;
  uint8_t* out;  // float32, a row a token
  size_t out_row_stride, out_head_stride;
};

class Attention : public Task {
 public:
  Attention(const Kernels& kernels, const Kernel& keys, const Kernel& values, const AttentionInputs& inputs);

  // Whether the kernels can compute a head of this size over this many keys.
  static bool fits(const Kernel& keys, const Kernel& values, size_t dimensions, size_t cells);

  size_t scratch_bytes() const override;

 private:
  struct Scratch;
  void compute(int threads, uint8_t* scratch) override;
  void compute_block(size_t key_head, size_t first_token, size_t tokens, const Scratch& scratch) const;
  void add_keys(size_t key_head, size_t first_token, size_t tokens, size_t first_key, size_t keys, const Scratch& scratch) const;
  bool visible(size_t first_token, size_t tokens, size_t first_key, size_t keys) const;
  const float* mask_row(size_t token) const;

  const Kernels& kernels_;
  const Kernel &keys_, &values_;
  const AttentionInputs in_;
  size_t group_;         // query heads that share a key head
  size_t block_tokens_;  // tokens that are computed together, with all heads of the group
  Counter next_item_;
};

}  // namespace scorehead::accel
