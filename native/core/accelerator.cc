#include "accelerator.h"

#include <mutex>

#include "error.h"
#include "llama_api.h"
#include "log.h"

namespace scorehead {
namespace {

std::mutex mutex;
bool tried = false;
std::string kernels, refusal;
accel::EnableFunction enable = nullptr;
accel::WorkFunction work = nullptr;

template <class Function>
Function function_of(ggml_backend_reg_t backend, const char* name) {
  void* found = llama().ggml_backend_reg_get_proc_address(backend, name);
  if (!found) throw Error("ERR_INTERNAL", std::string("The accelerator lacks the function ") + name + ".");
  return reinterpret_cast<Function>(found);
}

void load(const std::string& path) {
  const LlamaApi& api = llama();
  const LogCapture log;
  ggml_backend_reg_t backend = api.ggml_backend_load(path.c_str());
  if (!backend) {
    refusal = log.text().empty() ? "it has no kernels for this processor that are better than llama.cpp's own" : log.text();
    return;
  }
  const accel::Host host = {api.ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU),
                            api.ggml_graph_n_nodes,
                            api.ggml_graph_node,
                            api.ggml_init,
                            api.ggml_free,
                            api.ggml_custom_4d};
  function_of<accel::BindFunction>(backend, accel::kBind)(host);
  enable = function_of<accel::EnableFunction>(backend, accel::kEnable);
  work = function_of<accel::WorkFunction>(backend, accel::kWork);
  kernels = api.ggml_backend_dev_description(api.ggml_backend_reg_dev_get(backend, 0));
}

}  // namespace

std::string load_accelerator(const std::string& path, std::string& reason) {
  std::lock_guard<std::mutex> lock(mutex);
  if (!tried) {
    tried = true;
    load(path);
  }
  reason = refusal;
  return kernels;
}

AcceleratedContexts::AcceleratedContexts(bool on) {
  if (on && !enable) throw Error("ERR_INTERNAL", "There is no accelerator.");
  if (on) enable(true);
}

AcceleratedContexts::~AcceleratedContexts() {
  if (enable) enable(false);
}

accel::Work accelerator_work() { return work ? work() : accel::Work{}; }

}  // namespace scorehead
