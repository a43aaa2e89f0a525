// The accelerator as a ggml backend of type ACCEL. llama.cpp's scheduler offers it every operation; it accepts what the CPU
// backend computes, up to the final norm, and has the CPU backend compute it, with its own kernels in place of some nodes.
// Taking all of the graph, and not the products alone, leaves it in one piece: each piece costs starting llama.cpp's threads.
#include <atomic>
#include <cstring>
#include <mutex>
#include <new>

#include <ggml-backend-impl.h>

#include "cpu.h"
#include "graph.h"

namespace scorehead::accel {
namespace {

constexpr char kName[] = "ACCEL";

Setup setup;
thread_local bool enabled = false;
thread_local Work work_done;

// A context's backend. `cpu` is one of llama.cpp's own.
struct Context {
  ggml_backend_t cpu;
  int threads = GGML_DEFAULT_N_THREADS;
  Workspace workspace;
};

Context& context_of(ggml_backend_t backend) { return *static_cast<Context*>(backend->context); }

ggml_backend_reg_t cpu_registry() { return setup.host.cpu->reg; }

template <class Function>
Function cpu_function(const char* name) {
  return reinterpret_cast<Function>(cpu_registry()->iface.get_proc_address(cpu_registry(), name));
}

// Backend

const char* backend_name(ggml_backend_t) { return kName; }

void free_backend(ggml_backend_t backend) {
  Context* context = &context_of(backend);
  if (context->cpu) context->cpu->iface.free(context->cpu);
  delete context;
  delete backend;
}

ggml_status compute_graph(ggml_backend_t backend, ggml_cgraph* graph) {
  Context& context = context_of(backend);
  try {
    const AcceleratedGraph accelerated(setup, graph, context.threads, context.workspace);
    work_done.products += accelerated.work().products;
    work_done.attentions += accelerated.work().attentions;
    return context.cpu->iface.graph_compute(context.cpu, graph);
  } catch (const std::bad_alloc&) {
    return GGML_STATUS_ALLOC_FAILED;
  }
}

void optimize_graph(ggml_backend_t, ggml_cgraph* graph, ggml_backend_graph_optimize_params* params) {
  keep_attention_inputs(setup, graph, *params);
}

void set_threads(ggml_backend_t backend, int threads) {
  Context& context = context_of(backend);
  context.threads = threads;
  if (context.cpu) cpu_function<ggml_backend_set_n_threads_t>("ggml_backend_set_n_threads")(context.cpu, threads);
}

void set_abort_callback(ggml_backend_t backend, ggml_abort_callback callback, void* data) {
  Context& context = context_of(backend);
  if (context.cpu)
    cpu_function<ggml_backend_set_abort_callback_t>("ggml_backend_set_abort_callback")(context.cpu, callback, data);
}

ggml_guid_t backend_guid() {
  static ggml_guid guid = {0x5c, 0x0e, 0x4e, 0xad, 0xac, 0xce, 0x4c, 0x01, 0x9b, 0x27, 0x61, 0x18, 0x3f, 0xd2, 0x74, 0xe0};
  return &guid;
}

// Device

// Whether an operation comes after the final norm. That and what follows stays with the CPU backend, in one piece, so that
// stopping the computation there skips the product with the output matrix.
bool is_after_final_norm(const ggml_tensor* op) {
  // From the norm to the logits there are at most a product, a scaling and gemma2's soft cap of three operations.
  constexpr int kMost = 6;
  for (int i = 0; op && i < kMost; i++) {
    if (std::strcmp(op->name, "result_norm") == 0) return true;
    op = op->op == GGML_OP_MUL_MAT ? op->src[1] : op->src[0];
  }
  return false;
}

const char* device_name(ggml_backend_dev_t) { return kName; }
const char* device_description(ggml_backend_dev_t) { return setup.kernels->name; }
enum ggml_backend_dev_type device_type(ggml_backend_dev_t) { return GGML_BACKEND_DEVICE_TYPE_ACCEL; }
ggml_backend_buffer_type_t buffer_type(ggml_backend_dev_t) { return setup.host.cpu->iface.get_buffer_type(setup.host.cpu); }

void device_memory(ggml_backend_dev_t, size_t* free, size_t* total) { *free = *total = 0; }

void device_properties(ggml_backend_dev_t device, ggml_backend_dev_props* properties) {
  *properties = {};
  properties->name = kName;
  properties->description = device_description(device);
  properties->type = GGML_BACKEND_DEVICE_TYPE_ACCEL;
}

// llama.cpp computes on several GPUs at once only where every backend of the context says that it is asynchronous. One that is
// off computes nothing and must not prevent that.
void idle_device_properties(ggml_backend_dev_t device, ggml_backend_dev_props* properties) {
  device_properties(device, properties);
  properties->caps.async = properties->caps.events = true;
}

bool supports_operation(ggml_backend_dev_t, const ggml_tensor* op) {
  return !is_after_final_norm(op) && setup.host.cpu->iface.supports_op(setup.host.cpu, op);
}
bool supports_no_operation(ggml_backend_dev_t, const ggml_tensor*) { return false; }

bool supports_buffer_type(ggml_backend_dev_t, ggml_backend_buffer_type_t type) {
  return setup.host.cpu->iface.supports_buft(setup.host.cpu, type);
}

ggml_backend_t init_backend(ggml_backend_dev_t, const char*);

ggml_backend_reg* registry();

ggml_backend_device make_device(bool idle) {
  ggml_backend_device device = {};
  device.iface.get_name = device_name;
  device.iface.get_description = device_description;
  device.iface.get_memory = device_memory;
  device.iface.get_type = device_type;
  device.iface.get_props = idle ? idle_device_properties : device_properties;
  device.iface.init_backend = init_backend;
  device.iface.get_buffer_type = buffer_type;
  device.iface.supports_op = idle ? supports_no_operation : supports_operation;
  device.iface.supports_buft = supports_buffer_type;
  device.reg = registry();
  return device;
}

// The device of the contexts that are accelerated, which is also the one that is listed.
ggml_backend_dev_t active_device() {
  static ggml_backend_device device = make_device(false);
  return &device;
}

// The device of the contexts that are not: its backend supports nothing.
ggml_backend_dev_t idle_device() {
  static ggml_backend_device device = make_device(true);
  return &device;
}

ggml_backend_t init_backend(ggml_backend_dev_t, const char*) {
  auto* backend = new ggml_backend{};
  auto* context = new Context{};
  backend->guid = backend_guid();
  backend->iface.get_name = backend_name;
  backend->iface.free = free_backend;
  backend->iface.graph_compute = compute_graph;
  backend->context = context;
  backend->device = enabled ? active_device() : idle_device();
  if (enabled) {
    backend->iface.graph_optimize = optimize_graph;
    context->cpu = setup.host.cpu->iface.init_backend(setup.host.cpu, nullptr);
  }
  return backend;
}

// Registry

void bind(const Host& host) {
  setup.host = host;
  ggml_init_params params = {};
  params.mem_size = 4096;
  params.no_alloc = true;
  ggml_context* context = host.ggml_init(params);
  const ggml_tensor* custom =
      host.ggml_custom_4d(context, GGML_TYPE_F32, 1, 1, 1, 1, nullptr, 0, run_node, GGML_N_TASKS_MAX, nullptr);
  std::memcpy(setup.operation, custom->op_params, sizeof(setup.operation));
  host.ggml_free(context);
}

void enable(bool on) { enabled = on; }
Work work() { return work_done; }

const char* registry_name(ggml_backend_reg_t) { return kName; }
size_t device_count(ggml_backend_reg_t) { return 1; }
ggml_backend_dev_t device_at(ggml_backend_reg_t, size_t) { return active_device(); }

void* function_named(ggml_backend_reg_t, const char* name) {
  const auto is = [name](const char* other) { return std::strcmp(name, other) == 0; };
  if (is("ggml_backend_set_n_threads")) return reinterpret_cast<void*>(set_threads);
  if (is("ggml_backend_set_abort_callback")) return reinterpret_cast<void*>(set_abort_callback);
  if (is(kBind)) return reinterpret_cast<void*>(bind);
  if (is(kEnable)) return reinterpret_cast<void*>(enable);
  if (is(kWork)) return reinterpret_cast<void*>(work);
  return nullptr;
}

ggml_backend_reg* registry() {
  static ggml_backend_reg reg = {GGML_BACKEND_API_VERSION, {registry_name, device_count, device_at, function_named}, nullptr};
  return &reg;
}

}  // namespace
}  // namespace scorehead::accel

// What ggml_backend_load() looks for.
extern "C" {

// 0: not to be used on this machine.
__attribute__((visibility("default"))) int ggml_backend_score() {
  using namespace scorehead::accel;
  setup.kernels = kernels_of_this_cpu();
  return setup.kernels ? 1 : 0;
}

__attribute__((visibility("default"))) ggml_backend_reg_t ggml_backend_init() { return scorehead::accel::registry(); }
}
