#include "graph_observer.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iterator>

namespace scorehead {
namespace {

// = last_hidden_state of transformers; llama.cpp names it so in every graph that scorehead accepts.
constexpr char kFinalNorm[] = "result_norm";

size_t element_size(const ggml_tensor* mask) { return mask->type == GGML_TYPE_F16 ? 2 : 4; }

const void* minus_infinity(const ggml_tensor* mask) {
  static const uint16_t half = 0xFC00;
  static const float single = -INFINITY;
  return mask->type == GGML_TYPE_F16 ? static_cast<const void*>(&half) : static_cast<const void*>(&single);
}

// The attention mask that a node reads, or null: llama.cpp gives it to the soft-max, or to the fused attention.
ggml_tensor* mask_of(const ggml_tensor* node) {
  ggml_tensor* mask = nullptr;
  if (node->op == GGML_OP_SOFT_MAX) mask = node->src[1];
  if (node->op == GGML_OP_FLASH_ATTN_EXT) mask = node->src[3];
  return mask;
}

bool is_final_norm(const ggml_tensor* node) { return std::strcmp(node->name, kFinalNorm) == 0; }

// gelu(x) * y by the tanh formula: x times the logistic function of twice the formula's argument.
void multiply_gelu(const float* x, const float* y, float* out, int64_t n) {
  constexpr float kRoot = 0.79788456080286535588f;  // of 2/pi
  for (int64_t i = 0; i < n; i++) {
    const float argument = kRoot * x[i] * (1.0f + 0.044715f * x[i] * x[i]);
    out[i] = y[i] * x[i] / (1.0f + std::exp(-2.0f * argument));
  }
}

float* row_of(const ggml_tensor* tensor, int64_t row) {
  return reinterpret_cast<float*>(static_cast<char*>(tensor->data) + row * tensor->nb[1]);
}

// Computes a node of gated GELU again; its inputs are still there, as llama.cpp never puts its output in their place.
void compute_geglu(const ggml_tensor* node) {
  for (int64_t row = 0; row < node->ne[1]; row++)
    multiply_gelu(row_of(node->src[0], row), row_of(node->src[1], row), row_of(node, row), node->ne[0]);
}

}  // namespace

void GraphObserver::begin(size_t hidden_size, std::vector<Token> remember, std::vector<Token> recall) {
  hidden_size_ = hidden_size;
  remember_ = std::move(remember);
  recall_ = std::move(recall);
  captured_ = false;
  nodes_after_norm_ = 0;
  hidden_.clear();
  failure_.clear();
  to_hide_.clear();
}

bool GraphObserver::on_node(ggml_tensor* node, bool ask, void* observer) {
  auto* self = static_cast<GraphObserver*>(observer);
  try {
    if (ask) return self->ask(node);
    if (is_final_norm(node)) self->copy_hidden(node);
    else compute_geglu(node);
  } catch (const std::exception& error) {
    self->failure_ = error.what();
    return false;
  }
  // false ends this graph split: what follows the final norm is the vocabulary matmul, which nobody reads.
  return !is_final_norm(node);
}

// Called before a node is computed, and ahead of the nodes before it; inputs such as the mask are already set.
bool GraphObserver::ask(ggml_tensor* node) {
  if (captured_) nodes_after_norm_++;
  if (!remember_.empty() || !recall_.empty())
    if (ggml_tensor* mask = mask_of(node)) restrict_keys(mask);
  return is_final_norm(node) || wants_gelu(node);
}

bool GraphObserver::wants_gelu(const ggml_tensor* node) const {
  if (!computes_gelu_ || node->op != GGML_OP_GLU || llama().ggml_get_glu_op(node) != GGML_GLU_OP_GEGLU) return false;
  const auto fits = [&](const ggml_tensor* tensor) {
    return tensor && tensor->type == GGML_TYPE_F32 && tensor->nb[0] == sizeof(float) && tensor->ne[0] == node->ne[0];
  };
  return fits(node->src[0]) && fits(node->src[1]) && fits(node) && node->ne[2] == 1;
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

// The columns of a mask's row that are not -inf.
std::vector<size_t> GraphObserver::visible_keys(const ggml_tensor* mask, size_t row) const {
  const size_t columns = mask->ne[0], size = element_size(mask);
  std::vector<uint8_t> bytes(columns * size);
  llama().ggml_backend_tensor_get(mask, bytes.data(), row * mask->nb[1], bytes.size());
  std::vector<size_t> visible;
  for (size_t c = 0; c < columns; c++)
    if (std::memcmp(bytes.data() + c * size, minus_infinity(mask), size) != 0) visible.push_back(c);
  return visible;
}

void GraphObserver::restrict_keys(ggml_tensor* mask) {
  if (mask->type != GGML_TYPE_F16 && mask->type != GGML_TYPE_F32) {
    failure_ = "the attention mask has an unexpected type";
    return;
  }
  auto known = to_hide_.find(mask->data);
  if (known == to_hide_.end()) {
    for (const Token& token : remember_) remembered_[token.sequence] = visible_keys(mask, token.index);
    std::vector<size_t> offsets;
    for (const Token& token : recall_) {
      const std::vector<size_t>& allowed = remembered_[token.sequence];
      const std::vector<size_t> visible = visible_keys(mask, token.index);
      if (allowed.empty() || !std::includes(visible.begin(), visible.end(), allowed.begin(), allowed.end()))
        failure_ = "a token does not see the keys that it is to be restricted to";
      std::vector<size_t> others;
      std::set_difference(visible.begin(), visible.end(), allowed.begin(), allowed.end(), std::back_inserter(others));
      for (size_t column : others) offsets.push_back(token.index * mask->nb[1] + column * element_size(mask));
    }
    known = to_hide_.emplace(mask->data, std::move(offsets)).first;
  }
  for (size_t offset : known->second)
    llama().ggml_backend_tensor_set(mask, minus_infinity(mask), offset, element_size(mask));
}

}  // namespace scorehead
