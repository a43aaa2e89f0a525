#include "graph_observer.h"

#include <cmath>
#include <cstring>

namespace scorehead {
namespace {

// = last_hidden_state of transformers; llama.cpp names it so in every graph that scorehead accepts.
constexpr char kFinalNorm[] = "result_norm";
constexpr uint16_t kF16MinusInfinity = 0xFC00;
constexpr uint16_t kF16Zero = 0x0000;

// The attention mask that a node reads, or null: llama.cpp gives it to the soft-max, or to the fused attention.
ggml_tensor* mask_of(const ggml_tensor* node) {
  ggml_tensor* mask = nullptr;
  if (node->op == GGML_OP_SOFT_MAX) mask = node->src[1];
  if (node->op == GGML_OP_FLASH_ATTN_EXT) mask = node->src[3];
  return mask;
}

}  // namespace

void GraphObserver::begin(size_t hidden_size, int blind_tail, size_t rows) {
  hidden_size_ = hidden_size;
  blind_tail_ = blind_tail;
  rows_ = rows;
  captured_ = false;
  nodes_after_norm_ = 0;
  hidden_.clear();
  failure_.clear();
  hidden_columns_.clear();
}

bool GraphObserver::on_node(ggml_tensor* node, bool ask, void* observer) {
  auto* self = static_cast<GraphObserver*>(observer);
  try {
    if (ask) return self->ask(node);
    self->copy_hidden(node);
  } catch (const std::exception& error) {
    self->failure_ = error.what();
  }
  // Ends this graph split: what follows the final norm is the vocabulary matmul, which nobody reads.
  return false;
}

// Called before a node is computed, and ahead of the nodes before it; inputs such as the mask are already set.
bool GraphObserver::ask(ggml_tensor* node) {
  if (captured_) nodes_after_norm_++;
  if (blind_tail_ > 0)
    if (ggml_tensor* mask = mask_of(node)) hide_keys(mask);
  return std::strcmp(node->name, kFinalNorm) == 0;
}

void GraphObserver::copy_hidden(const ggml_tensor* norm) {
  captured_ = true;
  if (norm->type != GGML_TYPE_F32 || static_cast<size_t>(norm->ne[0]) != hidden_size_) {
    failure_ = "the final norm has an unexpected type or width";
    return;
  }
  // A micro-batch without outputs comes here with no rows.
  const size_t rows = norm->ne[1], before = hidden_.size();
  if (rows == 0) return;
  hidden_.resize(before + rows * hidden_size_);
  llama().ggml_backend_tensor_get(norm, hidden_.data() + before, 0, rows * hidden_size_ * sizeof(float));
}

// Cells are handed out in ascending order after a clear, so of the columns that a token sees the last one is itself and
// the ones before it are the tokens decoded just before it.
void GraphObserver::hide_keys(ggml_tensor* mask) {
  const bool half = mask->type == GGML_TYPE_F16;
  if (!half && mask->type != GGML_TYPE_F32) {
    failure_ = "the attention mask has an unexpected type";
    return;
  }
  const LlamaApi& api = llama();
  const size_t columns = mask->ne[0], size = half ? 2 : 4;
  auto known = hidden_columns_.find(mask->data);
  if (known == hidden_columns_.end()) {
    std::vector<uint8_t> row(columns * size);
    std::vector<int64_t> found;
    for (size_t r = 0; r < rows_; r++) {
      api.ggml_backend_tensor_get(mask, row.data(), r * mask->nb[1], row.size());
      int wanted = blind_tail_;
      for (size_t c = columns; c-- > 0 && wanted > 0;) {
        uint16_t h = 0;
        float f = 0;
        std::memcpy(half ? static_cast<void*>(&h) : static_cast<void*>(&f), row.data() + c * size, size);
        if (half ? h != kF16Zero : f != 0.0f) continue;
        found.push_back(static_cast<int64_t>(r * mask->nb[1] + c * size));
        wanted--;
      }
      if (wanted > 0) failure_ = "a token sees fewer keys than are to be hidden from it";
    }
    known = hidden_columns_.emplace(mask->data, std::move(found)).first;
  }
  const float minus_infinity = -INFINITY;
  const void* value = half ? static_cast<const void*>(&kF16MinusInfinity) : static_cast<const void*>(&minus_infinity);
  for (int64_t offset : known->second) api.ggml_backend_tensor_set(mask, value, static_cast<size_t>(offset), size);
}

}  // namespace scorehead
