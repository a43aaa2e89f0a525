// What the accelerator and the program that loads it tell each other, beyond ggml's backend interface. The accelerator links
// against no library of llama.cpp; it gets the functions that it calls by these means.
#pragma once

#include <cstdint>

#include <ggml-backend.h>
#include <ggml.h>

namespace scorehead::accel {

// What the accelerator calls of ggml.
struct Host {
  ggml_backend_dev_t cpu;
  decltype(&::ggml_graph_n_nodes) ggml_graph_n_nodes;
  decltype(&::ggml_graph_node) ggml_graph_node;
  decltype(&::ggml_init) ggml_init;
  decltype(&::ggml_free) ggml_free;
  decltype(&::ggml_custom_4d) ggml_custom_4d;
};

// What the calling thread's contexts have computed with the accelerator's kernels so far.
struct Work {
  uint64_t products = 0;
  uint64_t attentions = 0;
};

// Got from the registered backend by `ggml_backend_reg_get_proc_address`, under the names below.

// To be called once, before the first context is made.
using BindFunction = void (*)(const Host& host);
constexpr char kBind[] = "scorehead_accel_bind";

// Whether contexts that this thread makes from now on are accelerated; at first they are not. llama.cpp gives every context
// a backend of every accelerator, so this is how a context does without.
using EnableFunction = void (*)(bool on);
constexpr char kEnable[] = "scorehead_accel_enable";

using WorkFunction = Work (*)();
constexpr char kWork[] = "scorehead_accel_work";

}  // namespace scorehead::accel
