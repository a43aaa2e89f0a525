#include "stock.h"

#include <dlfcn.h>
#include <ggml-alloc.h>
#include <ggml-backend.h>

#include <cstring>
#include <stdexcept>

namespace check {
namespace {

void* libraries[2];

// A function of ggml by its name.
template <class Function>
Function* find(const char* name) {
  for (void* library : libraries)
    if (void* found = dlsym(library, name)) return reinterpret_cast<Function*>(found);
  throw std::runtime_error(std::string("there is no ") + name);
}
#define STOCK(function) find<decltype(function)>(#function)

ggml_backend_t cpu() {
  static ggml_backend_t backend = STOCK(ggml_backend_init_by_type)(GGML_BACKEND_DEVICE_TYPE_CPU, nullptr);
  if (!backend) throw std::runtime_error("there is no CPU backend");
  return backend;
}

}  // namespace

void open_stock(const std::string& base, const std::string& ggml, const std::string& backends) {
  const std::string paths[] = {base, ggml};
  for (int i = 0; i < 2; i++) {
    libraries[i] = dlopen(paths[i].c_str(), RTLD_NOW | RTLD_GLOBAL);
    if (!libraries[i]) throw std::runtime_error(dlerror());
  }
  STOCK(ggml_backend_load_all_from_path)(backends.c_str());
}

size_t row_bytes(ggml_type type, size_t inputs) { return STOCK(ggml_row_size)(type, static_cast<int64_t>(inputs)); }

std::vector<uint8_t> quantise(ggml_type type, const std::vector<float>& weights, size_t inputs) {
  const size_t rows = weights.size() / inputs;
  std::vector<uint8_t> out(rows * row_bytes(type, inputs));
  STOCK(ggml_quantize_chunk)(type, weights.data(), out.data(), 0, static_cast<int64_t>(rows), static_cast<int64_t>(inputs), nullptr);
  return out;
}

std::vector<float> dequantise(ggml_type type, const std::vector<uint8_t>& weights, size_t inputs) {
  const size_t bytes = row_bytes(type, inputs), rows = weights.size() / bytes;
  std::vector<float> out(rows * inputs);
  if (type == GGML_TYPE_F32) {  // for which ggml has no function
    std::memcpy(out.data(), weights.data(), weights.size());
    return out;
  }
  const ggml_to_float_t to_float = STOCK(ggml_get_type_traits)(type)->to_float;
  for (size_t r = 0; r < rows; r++) to_float(weights.data() + r * bytes, out.data() + r * inputs, static_cast<int64_t>(inputs));
  return out;
}

std::vector<float> stock_product(ggml_type type, const std::vector<uint8_t>& weights, const std::vector<float>& activations,
                                 size_t inputs) {
  const auto outputs = static_cast<int64_t>(weights.size() / row_bytes(type, inputs));
  const auto rows = static_cast<int64_t>(activations.size() / inputs);
  ggml_init_params params = {1 << 20, nullptr, true};
  ggml_context* context = STOCK(ggml_init)(params);
  ggml_tensor* w = STOCK(ggml_new_tensor_2d)(context, type, static_cast<int64_t>(inputs), outputs);
  ggml_tensor* x = STOCK(ggml_new_tensor_2d)(context, GGML_TYPE_F32, static_cast<int64_t>(inputs), rows);
  ggml_tensor* y = STOCK(ggml_mul_mat)(context, w, x);
  ggml_cgraph* graph = STOCK(ggml_new_graph)(context);
  STOCK(ggml_build_forward_expand)(graph, y);
  ggml_backend_buffer_t buffer = STOCK(ggml_backend_alloc_ctx_tensors)(context, cpu());
  STOCK(ggml_backend_tensor_set)(w, weights.data(), 0, weights.size());
  STOCK(ggml_backend_tensor_set)(x, activations.data(), 0, activations.size() * sizeof(float));
  const bool computed = STOCK(ggml_backend_graph_compute)(cpu(), graph) == GGML_STATUS_SUCCESS;
  std::vector<float> out(rows * outputs);
  STOCK(ggml_backend_tensor_get)(y, out.data(), 0, out.size() * sizeof(float));
  STOCK(ggml_backend_buffer_free)(buffer);
  STOCK(ggml_free)(context);
  if (!computed) throw std::runtime_error("llama.cpp cannot compute the product");
  return out;
}

}  // namespace check
