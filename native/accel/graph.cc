#include "graph.h"

#include <algorithm>
#include <cstring>

#include <ggml-backend-impl.h>

#include "attention.h"
#include "matmul.h"

namespace scorehead::accel {
namespace {

constexpr size_t kCacheLine = 64;

template <class Visit>
void for_each_node(const Setup& setup, ggml_cgraph* graph, Visit visit) {
  const int count = setup.host.ggml_graph_n_nodes(graph);
  for (int i = 0; i < count; i++) visit(setup.host.ggml_graph_node(graph, i));
}

Uses count_uses(const Setup& setup, ggml_cgraph* graph) {
  Uses uses;
  for_each_node(setup, graph, [&](const ggml_tensor* node) {
    for (const ggml_tensor* source : node->src)
      if (source) uses[source]++;
  });
  return uses;
}

size_t rows_of(const ggml_tensor* tensor) { return tensor->ne[1] * tensor->ne[2] * tensor->ne[3]; }

}  // namespace

uint8_t* Buffer::at_least(size_t bytes) {
  if (memory_.size() < bytes + kCacheLine) memory_ = std::vector<uint8_t>(bytes + kCacheLine);
  const auto address = reinterpret_cast<uintptr_t>(memory_.data());
  return memory_.data() + (kCacheLine - address % kCacheLine) % kCacheLine;
}

void run_node(ggml_tensor* node, int thread, int threads, void*) {
  static_cast<Task*>(node->extra)->run(thread, threads);
}

void keep_attention_inputs(const Setup& setup, ggml_cgraph* graph, const ggml_backend_graph_optimize_params& params) {
  const Uses uses = count_uses(setup, graph);
  for_each_node(setup, graph, [&](ggml_tensor* node) {
    AttentionNodes nodes;
    if (!match_attention(*setup.kernels, uses, node, nodes)) return;
    for (ggml_tensor* read : {nodes.scores->src[0], nodes.scores->src[1], nodes.soft_max->src[1]})
      if (read) params.add_alloc_dep(params.user_data, read->view_src ? read->view_src : read, node);
  });
}

AcceleratedGraph::AcceleratedGraph(const Setup& setup, ggml_cgraph* graph, int threads, Workspace& workspace) : setup_(setup) {
  const Uses uses = count_uses(setup, graph);
  size_t prepared_bytes = 0;
  for_each_node(setup, graph, [&](const ggml_tensor* node) {
    const Kernel* kernel = product_kernel(*setup.kernels, node);
    if (kernel && kernel->prepare)
      prepared_bytes = std::max(prepared_bytes, kernel->prepared_bytes(node->src[1]->ne[0]) * rows_of(node->src[1]));
  });
  uint8_t* prepared = workspace.prepared.at_least(prepared_bytes);
  for_each_node(setup, graph, [&](ggml_tensor* node) {
    AttentionNodes nodes;
    if (const Kernel* kernel = product_kernel(*setup.kernels, node))
      replace_product(node, *kernel, prepared);
    else if (match_attention(*setup.kernels, uses, node, nodes))
      replace_attention(nodes);
  });
  give_scratch(workspace, threads);
}

AcceleratedGraph::~AcceleratedGraph() {
  for (const Replaced& was : replaced_) {
    was.node->op = was.operation;
    std::memcpy(was.node->op_params, was.parameters, sizeof(was.parameters));
    was.node->extra = was.extra;
  }
}

void AcceleratedGraph::replace_product(ggml_tensor* node, const Kernel& kernel, uint8_t* prepared) {
  const ggml_tensor *weights = node->src[0], *activations = node->src[1];
  const bool reuses = kernel.prepare && prepared_tensor_ == activations && prepared_for_->prepare == kernel.prepare;
  if (kernel.prepare) {
    prepared_tensor_ = activations;
    prepared_for_ = &kernel;
  }
  const Rows rows = {static_cast<const uint8_t*>(weights->data), weights->nb[1], static_cast<size_t>(weights->ne[1])};
  const Activations read = {static_cast<const float*>(activations->data), static_cast<size_t>(activations->ne[0]),
                            rows_of(activations), kernel.prepare ? prepared : nullptr};
  replace(node, GGML_OP_CUSTOM,
          std::make_unique<MatMul>(kernel, rows, read, kernel.prepare && !reuses, static_cast<float*>(node->data)));
  work_.products++;
}

void AcceleratedGraph::replace_attention(const AttentionNodes& nodes) {
  const AttentionInputs inputs = attention_inputs(nodes);
  const Kernel &keys = *setup_.kernels->kernel(nodes.scores->src[0]->type), &values = *setup_.kernels->kernel(nodes.sum->src[0]->type);
  replace(nodes.scores, GGML_OP_NONE, nullptr);
  replace(nodes.soft_max, GGML_OP_NONE, nullptr);
  replace(nodes.sum, GGML_OP_CUSTOM, std::make_unique<Attention>(*setup_.kernels, keys, values, inputs));
  work_.attentions++;
}

void AcceleratedGraph::replace(ggml_tensor* node, ggml_op operation, std::unique_ptr<Task> task) {
  Replaced was = {node, node->op, {}, node->extra};
  std::memcpy(was.parameters, node->op_params, sizeof(was.parameters));
  replaced_.push_back(was);
  node->op = operation;
  if (!task) return;
  std::memcpy(node->op_params, setup_.operation, sizeof(setup_.operation));
  node->extra = task.get();
  tasks_.push_back(std::move(task));
}

void AcceleratedGraph::give_scratch(Workspace& workspace, int threads) {
  size_t bytes = 0;
  for (const auto& task : tasks_) bytes = std::max(bytes, task->scratch_bytes());
  bytes = (bytes + kCacheLine - 1) / kCacheLine * kCacheLine;
  uint8_t* scratch = workspace.scratch.at_least(bytes * threads);
  for (const auto& task : tasks_) task->use_scratch(scratch, bytes);
}

}  // namespace scorehead::accel
