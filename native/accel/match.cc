#include "match.h"

#include <cstring>

#include <ggml-backend-impl.h>

namespace scorehead::accel {
namespace {

bool is_contiguous(const ggml_tensor* tensor) {
  size_t bytes = sizeof(float);
  for (int i = 0; i < GGML_MAX_DIMS; i++) {
    if (tensor->nb[i] != bytes) return false;
    bytes *= tensor->ne[i];
  }
  return true;
}

// Weights in ggml's own layout: not those that a backend has rearranged for itself.
bool is_plain_weight(const ggml_tensor* tensor) {
  const ggml_backend_buffer* buffer = tensor->buffer;
  if (!buffer || buffer->usage != GGML_BACKEND_BUFFER_USAGE_WEIGHTS) return false;
  return buffer->buft->iface.is_host && buffer->buft->iface.is_host(buffer->buft);
}

float float_parameter(const ggml_tensor* node, int index) {
  float value;
  std::memcpy(&value, node->op_params + index, sizeof(value));
  return value;
}

bool is_once_used(const Uses& uses, const ggml_tensor* tensor) {
  const auto found = uses.find(tensor);
  return found != uses.end() && found->second == 1 && !(tensor->flags & GGML_TENSOR_FLAG_OUTPUT);
}

bool is_float(ggml_type type) { return type == GGML_TYPE_F32 || type == GGML_TYPE_F16; }

// Heads of a tensor [row, rows, heads].
Heads heads_of(const ggml_tensor* tensor) {
  return {static_cast<const uint8_t*>(tensor->data), tensor->nb[1], tensor->nb[2]};
}

// One token is bound by reading the weights, or the cache, which llama.cpp's own products do as fast, or faster.
constexpr int64_t kLeastTokens = 2;

}  // namespace

const Kernel* product_kernel(const Kernels& kernels, const ggml_tensor* node) {
  if (node->op != GGML_OP_MUL_MAT) return nullptr;
  const ggml_tensor *weights = node->src[0], *activations = node->src[1];
  // llama.cpp has a transformation of its own for such a matrix.
  if (node->op_params[1] == GGML_HINT_SRC0_IS_HADAMARD) return nullptr;
  if (weights->ne[2] != 1 || weights->ne[3] != 1 || !is_plain_weight(weights)) return nullptr;
  if (activations->type != GGML_TYPE_F32 || !is_contiguous(activations) || !is_contiguous(node)) return nullptr;
  // llama.cpp adds up float32 weights more precisely, in many short sums.
  if (weights->type == GGML_TYPE_F32) return nullptr;
  if (activations->ne[1] * activations->ne[2] * activations->ne[3] < kLeastTokens) return nullptr;
  const Kernel* kernel = kernels.kernel(weights->type);
  return kernel && weights->ne[0] % kernel->input_step == 0 ? kernel : nullptr;
}

bool match_attention(const Kernels& kernels, const Uses& uses, ggml_tensor* node, AttentionNodes& found) {
  if (node->op != GGML_OP_MUL_MAT || node->src[1]->op != GGML_OP_SOFT_MAX) return false;
  ggml_tensor *values = node->src[0], *soft_max = node->src[1], *scores = soft_max->src[0];
  if (scores->op != GGML_OP_MUL_MAT || !is_once_used(uses, scores) || !is_once_used(uses, soft_max)) return false;
  const ggml_tensor *keys = scores->src[0], *queries = scores->src[1], *mask = soft_max->src[1];
  const bool sinks = soft_max->src[2] != nullptr, alibi = float_parameter(soft_max, 1) != 0;
  if (sinks || alibi || !is_float(keys->type) || !is_float(values->type) || queries->type != GGML_TYPE_F32) return false;
  if (keys->ne[3] != 1 || values->ne[3] != 1 || keys->ne[2] != values->ne[2] || queries->ne[2] % keys->ne[2] != 0) return false;
  if (mask && (mask->type != GGML_TYPE_F32 || mask->ne[2] != 1 || mask->ne[3] != 1)) return false;
  const auto size = [](ggml_type type) { return type == GGML_TYPE_F32 ? sizeof(float) : sizeof(ggml_fp16_t); };
  if (keys->nb[0] != size(keys->type) || values->nb[0] != size(values->type) || queries->nb[0] != sizeof(float)) return false;
  if (queries->ne[1] < kLeastTokens || keys->ne[0] != values->ne[1] || !is_contiguous(node)) return false;
  const Kernel *key_kernel = kernels.kernel(keys->type), *value_kernel = kernels.kernel(values->type);
  if (!key_kernel || !value_kernel || !Attention::fits(*key_kernel, *value_kernel, keys->ne[0], keys->ne[1])) return false;
  found = {scores, soft_max, node};
  return true;
}

AttentionInputs attention_inputs(const AttentionNodes& nodes) {
  const ggml_tensor *keys = nodes.scores->src[0], *queries = nodes.scores->src[1], *values = nodes.sum->src[0];
  const ggml_tensor* mask = nodes.soft_max->src[1];
  AttentionInputs in = {};
  in.tokens = queries->ne[1];
  in.heads = queries->ne[2];
  in.key_heads = keys->ne[2];
  in.keys = keys->ne[1];
  in.dimensions = keys->ne[0];
  in.scale = float_parameter(nodes.soft_max, 0);
  in.queries = heads_of(queries);
  in.cached_keys = heads_of(keys);
  in.cached_values = heads_of(values);
  if (mask) {
    in.mask = static_cast<const uint8_t*>(mask->data);
    in.mask_stride = mask->nb[1];
  }
  in.out = static_cast<uint8_t*>(nodes.sum->data);
  in.out_row_stride = nodes.sum->nb[1];
  in.out_head_stride = nodes.sum->nb[2];
  return in;
}

}  // namespace scorehead::accel
