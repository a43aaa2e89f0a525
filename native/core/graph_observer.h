// What happens inside llama_decode: the observer reads the hidden states out of the graph, stops it before the
// vocabulary matmul, and, where asked, hides keys from the attention.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "llama_api.h"

namespace scorehead {

class GraphObserver {
 public:
  // Readies the observer for one llama_decode. `blind_tail`: how many of the last keys that each token can see are
  // hidden from it, itself included (Starling's card reads a token that sees neither itself nor the placeholder that
  // keeps the positions continuous); 0 changes nothing. `rows`: how many mask rows, one a token, that concerns.
  void begin(size_t hidden_size, int blind_tail, size_t rows);

  // The hidden states after the final norm, [outputs of the batch, hidden_size], in batch order.
  std::vector<float>& hidden() { return hidden_; }

  // How many graph nodes llama.cpp went on to after the final norm: 0 where the vocabulary matmul was skipped.
  uint64_t nodes_after_norm() const { return nodes_after_norm_; }

  // What went wrong, or empty: an exception must not cross llama.cpp's C frames.
  const std::string& failure() const { return failure_; }

  // The ggml_backend_sched_eval_callback; `observer` is the GraphObserver.
  static bool on_node(ggml_tensor* node, bool ask, void* observer);

 private:
  bool ask(ggml_tensor* node);
  void copy_hidden(const ggml_tensor* norm);
  void hide_keys(ggml_tensor* mask);

  size_t hidden_size_ = 0;
  int blind_tail_ = 0;
  size_t rows_ = 0;
  bool captured_ = false;
  uint64_t nodes_after_norm_ = 0;
  std::vector<float> hidden_;
  std::string failure_;
  // Per copy of the mask (each device has its own): the columns to hide, row by row, found when it is first seen.
  std::map<const void*, std::vector<int64_t>> hidden_columns_;
};

}  // namespace scorehead
