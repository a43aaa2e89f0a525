// Puts the accelerator's tasks into a graph of llama.cpp's for the time that it is computed.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "host.h"
#include "kernels.h"
#include "match.h"
#include "task.h"

struct ggml_backend_graph_optimize_params;

namespace scorehead::accel {

// Memory aligned to cache lines that grows and is used again.
class Buffer {
 public:
  uint8_t* at_least(size_t bytes);

 private:
  std::vector<uint8_t> memory_;
};

// What a context's graphs use from one computation to the next.
struct Workspace {
  Buffer prepared, scratch;
};

// What does not change from graph to graph.
struct Setup {
  Host host;
  const Kernels* kernels;
  // The parameters of a custom operation that calls run_node.
  int32_t operation[GGML_MAX_OP_PARAMS / sizeof(int32_t)];
};

// The ggml_custom_op_t of a replaced node.
void run_node(ggml_tensor* node, int thread, int threads, void*);

// Sees to it that what an attention reads is still there when its last node is computed. To be called before memory is given
// to the graph's tensors.
void keep_attention_inputs(const Setup& setup, ggml_cgraph* graph, const ggml_backend_graph_optimize_params& params);

// A graph whose weight products and attentions are tasks, from construction to destruction. The nodes keep their place and
// their tensors and change their operation to GGML_OP_CUSTOM, so that llama.cpp's CPU backend computes the graph as it always
// does, with its own threads, and calls back here for these nodes. Nothing but the computing thread may look at the graph.
class AcceleratedGraph {
 public:
  AcceleratedGraph(const Setup& setup, ggml_cgraph* graph, int threads, Workspace& workspace);
  ~AcceleratedGraph();
  AcceleratedGraph(const AcceleratedGraph&) = delete;
  AcceleratedGraph& operator=(const AcceleratedGraph&) = delete;

  Work work() const { return work_; }

 private:
  // A node as it was.
  struct Replaced {
    ggml_tensor* node;
    ggml_op operation;
    int32_t parameters[GGML_MAX_OP_PARAMS / sizeof(int32_t)];
    void* extra;
  };

  void replace_product(ggml_tensor* node, const Kernel& kernel, uint8_t* prepared);
  void replace_attention(const AttentionNodes& nodes);
  void replace(ggml_tensor* node, ggml_op operation, std::unique_ptr<Task> task);
  void give_scratch(Workspace& workspace, int threads);

  const Setup& setup_;
  Work work_;
  // The activations that are prepared at this point of the graph, and in which form.
  const ggml_tensor* prepared_tensor_ = nullptr;
  const Kernel* prepared_for_ = nullptr;
  std::vector<Replaced> replaced_;
  std::vector<std::unique_ptr<Task>> tasks_;
};

}  // namespace scorehead::accel
