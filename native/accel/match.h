// Which nodes of a graph the accelerator computes.
#pragma once

#include <unordered_map>

#include "attention.h"
#include "kernels.h"

namespace scorehead::accel {

// The kernel for a node that multiplies activations by a weight matrix; null where there is none, or llama.cpp is to do it.
const Kernel* product_kernel(const Kernels& kernels, const ggml_tensor* node);

// The nodes of one attention without fused operation: soft_max(keys · queries) · values.
struct AttentionNodes {
  ggml_tensor *scores, *soft_max, *sum;
};

// How often each tensor is read by the nodes of a graph.
using Uses = std::unordered_map<const ggml_tensor*, int>;

// Whether a node is the sum of an attention that the accelerator computes, and then its nodes.
bool match_attention(const Kernels& kernels, const Uses& uses, ggml_tensor* node, AttentionNodes& found);

AttentionInputs attention_inputs(const AttentionNodes& nodes);

}  // namespace scorehead::accel
