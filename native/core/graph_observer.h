// What happens inside llama_decode: the observer reads the hidden states out of the graph, stops it before the
// vocabulary matmul, and, where asked, hides keys from the attention and computes GELU exactly.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "llama_api.h"

namespace scorehead {

class GraphObserver {
 public:
  // A token of the batch, by its index, and the sequence under which its keys are noted.
  struct Token {
    int32_t index;
    int32_t sequence;
  };

  // On the CPU, llama.cpp looks GELU up in a table of F16 numbers, an error of 3e-4; from now on it is computed.
  void compute_gelu() { computes_gelu_ = true; }

  // Readies the observer for one llama_decode. The keys that a token of `remember` sees are noted under a sequence; a
  // token of `recall` then sees those and no others. (Starling's card reads a token that sees the whole text, but
  // neither itself nor the placeholder that keeps the positions continuous.)
  void begin(size_t hidden_size, std::vector<Token> remember, std::vector<Token> recall);

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
  bool wants_gelu(const ggml_tensor* node) const;
  void copy_hidden(const ggml_tensor* norm);
  void restrict_keys(ggml_tensor* mask);
  std::vector<size_t> visible_keys(const ggml_tensor* mask, size_t row) const;

  size_t hidden_size_ = 0;
  bool computes_gelu_ = false;
  std::vector<Token> remember_;
  std::vector<Token> recall_;
  bool captured_ = false;
  uint64_t nodes_after_norm_ = 0;
  std::vector<float> hidden_;
  std::string failure_;
  // By sequence: the mask's columns, which are cells of the cache, that its remembered token saw.
  std::map<int32_t, std::vector<size_t>> remembered_;
  // By copy of the mask (each device has its own): the byte offsets to hide, found when the copy is first seen.
  std::map<const void*, std::vector<size_t>> to_hide_;
};

}  // namespace scorehead
