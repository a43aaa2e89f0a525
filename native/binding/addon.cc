// The addon's exports, each a thin call into the core. lib/runtime/contract.ts types them, and scripts/check-exports
// proves that both lists agree.
#include <cstring>

#include "../core/accelerator.h"
#include "../core/dequantize.h"
#include "../core/error.h"
#include "../core/file_lock.h"
#include "../core/libraries.h"
#include "arguments.h"
#include "environment.h"

namespace scorehead {
namespace {

// Marks the objects that openModel returns, so that no other object is taken for one.
constexpr napi_type_tag kSessionTag = {0x5c0e4ead5c0e4eadULL, 0x6d6f64656c5f3031ULL};

// Calls the core and turns its errors into JavaScript ones.
template <typename Call>
auto guarded(Napi::Env env, Call call) -> decltype(call()) {
  try {
    return call();
  } catch (const Error& error) {
    throw coded_error(env, error.code(), error.what());
  } catch (const std::exception& error) {  // llama.cpp's own
    throw coded_error(env, "ERR_INTERNAL", error.what());
  }
}

Napi::Value string_array(Napi::Env env, const std::vector<std::string>& strings) {
  Napi::Array array = Napi::Array::New(env, strings.size());
  for (size_t i = 0; i < strings.size(); i++) array.Set(static_cast<uint32_t>(i), strings[i]);
  return array;
}

// Copies: Electron forbids array buffers over foreign memory.
template <typename Array, typename Element>
Array copied(Napi::Env env, const std::vector<Element>& values) {
  Array array = Array::New(env, values.size());
  if (!values.empty()) std::memcpy(array.Data(), values.data(), values.size() * sizeof(Element));
  return array;
}

std::shared_ptr<Session>& session_at(const Napi::CallbackInfo& info, size_t index) {
  Napi::Object handle = object_at(info, index);
  if (!handle.CheckTypeTag(&kSessionTag)) throw coded_error(info.Env(), "ERR_INTERNAL", "This is not a model handle.");
  void* session = nullptr;
  if (napi_unwrap(info.Env(), handle, &session) != napi_ok)
    throw coded_error(info.Env(), "ERR_INTERNAL", "This model handle is empty.");
  return *static_cast<std::shared_ptr<Session>*>(session);
}

Napi::Object session_handle(Napi::Env env, const std::shared_ptr<Session>& session) {
  Napi::Object handle = Napi::Object::New(env);
  const auto finalize = [](napi_env, void* data, void*) {
    delete static_cast<std::shared_ptr<Session>*>(data);
  };
  auto* owned = new std::shared_ptr<Session>(session);
  if (napi_wrap(env, handle, owned, finalize, nullptr, nullptr) != napi_ok) {
    delete owned;
    throw coded_error(env, "ERR_INTERNAL", "The model handle cannot be made.");
  }
  handle.TypeTag(&kSessionTag);
  return handle;
}

Napi::Value open_libraries_(const Napi::CallbackInfo& info) {
  const Napi::Object options = object_at(info, 0);
  const LibraryPaths paths = {get_string(options, "base"), get_string(options, "ggml"), get_string(options, "llama")};
  const std::string backends = get_string(options, "backendDirectory"), release = get_string(options, "release");
  return Napi::String::New(info.Env(), guarded(info.Env(), [&] { return open_libraries(paths, backends, release); }));
}

Napi::Value load_backend_(const Napi::CallbackInfo& info) {
  const std::string path = string_at(info, 0);
  std::string reason;
  const size_t devices = guarded(info.Env(), [&] { return load_backend(path, reason); });
  Napi::Object out = Napi::Object::New(info.Env());
  out.Set("devices", Napi::Number::New(info.Env(), static_cast<double>(devices)));
  out.Set("reason", reason);
  return out;
}

Napi::Value load_accelerator_(const Napi::CallbackInfo& info) {
  const std::string path = string_at(info, 0);
  std::string reason;
  const std::string kernels = guarded(info.Env(), [&] { return load_accelerator(path, reason); });
  Napi::Object out = Napi::Object::New(info.Env());
  out.Set("kernels", kernels.empty() ? info.Env().Null() : Napi::String::New(info.Env(), kernels));
  out.Set("reason", reason);
  return out;
}

Napi::Value devices_(const Napi::CallbackInfo& info) {
  const auto found = guarded(info.Env(), [] { return devices(); });
  Napi::Array array = Napi::Array::New(info.Env(), found.size());
  for (size_t i = 0; i < found.size(); i++) {
    Napi::Object device = Napi::Object::New(info.Env());
    device.Set("name", found[i].name);
    device.Set("description", found[i].description);
    device.Set("backend", found[i].backend);
    device.Set("kind", found[i].kind);
    device.Set("freeBytes", Napi::Number::New(info.Env(), static_cast<double>(found[i].free_bytes)));
    device.Set("totalBytes", Napi::Number::New(info.Env(), static_cast<double>(found[i].total_bytes)));
    array.Set(static_cast<uint32_t>(i), device);
  }
  return array;
}

Napi::Value cpu_features_(const Napi::CallbackInfo& info) {
  return string_array(info.Env(), guarded(info.Env(), [] { return cpu_features(); }));
}

Napi::Value set_log_(const Napi::CallbackInfo& info) {
  Environment::of(info.Env()).set_log(info.Env(), info[0]);
  return info.Env().Undefined();
}

Layer layer_from(const Napi::Object& object) {
  Layer layer;
  layer.weight = get_floats(object, "weight");
  layer.bias = get_floats(object, "bias");
  layer.outputs = static_cast<size_t>(get_size(object, "outputs"));
  layer.inputs = static_cast<size_t>(get_size(object, "inputs"));
  if (layer.weight.size() != layer.outputs * layer.inputs || (!layer.bias.empty() && layer.bias.size() != layer.outputs))
    throw coded_error(object.Env(), "ERR_INTERNAL", "A layer's arrays do not fit its size.");
  return layer;
}

// Without layers: no network.
Network network_from(const Napi::Object& object, const char* name) {
  const Napi::Object described = get_object(object, name);
  const std::string activation = get_string(described, "activation");
  if (activation != "relu" && activation != "tanh")
    throw coded_error(object.Env(), "ERR_INTERNAL", "There is no activation " + activation + ".");
  Network network;
  network.activation = activation == "tanh" ? Activation::tanh : Activation::relu;
  for (const Napi::Object& layer : get_objects(described, "layers")) {
    network.layers.push_back(layer_from(layer));
    const size_t last = network.layers.size() - 1;
    if (last > 0 && network.layers[last].inputs != network.layers[last - 1].outputs)
      throw coded_error(object.Env(), "ERR_INTERNAL", "A layer does not take what the one before it puts out.");
  }
  return network;
}

EngineOptions engine_options(const Napi::Object& object) {
  EngineOptions options;
  options.path = get_string(object, "path");
  options.devices = get_strings(object, "devices");
  options.gpu_layers = get_int(object, "gpuLayers");
  options.main_gpu = get_int(object, "mainGpu");
  options.tensor_split = get_floats(object, "tensorSplit");
  options.override_keys = get_strings(object, "overrideKeys");
  options.override_values = get_ints(object, "overrideValues");
  options.context_tokens = static_cast<uint32_t>(get_size(object, "contextTokens"));
  options.batch_tokens = static_cast<uint32_t>(get_size(object, "batchTokens"));
  options.max_outputs = static_cast<uint32_t>(get_size(object, "maxOutputs"));
  options.threads = get_size(object, "threads");
  options.accel = get_bool(object, "accel");
  options.kv_f32 = get_bool(object, "kvF32");
  options.head = network_from(object, "head");
  options.gate = network_from(object, "gate");
  const bool gated = !options.gate.empty();
  if (options.head.empty() || (gated && options.gate.inputs() != options.head.inputs()))
    throw coded_error(object.Env(), "ERR_INTERNAL", "The head has no layers, or its gate another width.");
  return options;
}

Napi::Value open_model_(const Napi::CallbackInfo& info) {
  EngineOptions options = engine_options(object_at(info, 0));
  Environment& environment = Environment::of(info.Env());
  auto session = environment.new_session();
  Session* raw = session.get();
  return environment.run(info.Env(), session, [raw, options = std::move(options)]() -> Settle {
    raw->engine = std::make_unique<Engine>(options, raw->cancelled);
    const uint32_t context_tokens = raw->engine->context_tokens();
    const int32_t sequences = raw->engine->sequences();
    return [context_tokens, sequences](Napi::Env env, const std::shared_ptr<Session>& session) -> Napi::Value {
      Napi::Object out = Napi::Object::New(env);
      out.Set("handle", session_handle(env, session));
      out.Set("contextTokens", Napi::Number::New(env, context_tokens));
      out.Set("sequences", Napi::Number::New(env, sequences));
      return out;
    };
  });
}

Napi::Value tokenize_(const Napi::CallbackInfo& info) {
  const auto& session = session_at(info, 0);
  const std::string text = string_at(info, 1);
  // `closing` first: from then on the worker may be freeing the engine.
  if (session->closing || !session->engine) throw coded_error(info.Env(), "ERR_CLOSED", "The model is closed.");
  return copied<Napi::Int32Array>(info.Env(), guarded(info.Env(), [&] { return session->engine->tokenize(text); }));
}

// Pairs of a token's index and a sequence.
std::vector<GraphObserver::Token> named_tokens(const Napi::Object& object, const char* name) {
  const std::vector<int32_t> pairs = get_ints(object, name);
  if (pairs.size() % 2 != 0) throw coded_error(object.Env(), "ERR_INTERNAL", std::string(name) + " holds pairs.");
  std::vector<GraphObserver::Token> tokens;
  for (size_t i = 0; i < pairs.size(); i += 2) tokens.push_back({pairs[i], pairs[i + 1]});
  return tokens;
}

Batch batch_from(const Napi::Object& object) {
  Batch batch;
  batch.tokens = get_ints(object, "tokens");
  batch.positions = get_ints(object, "positions");
  batch.sequences = get_ints(object, "sequences");
  batch.sequence_offsets = get_ints(object, "sequenceOffsets");
  batch.outputs = get_bytes(object, "outputs");
  batch.remember = named_tokens(object, "remember");
  batch.recall = named_tokens(object, "recall");
  const std::vector<int32_t> memory = get_ints(object, "memory");
  constexpr size_t kFields = 5;
  if (memory.size() % kFields != 0) throw coded_error(object.Env(), "ERR_INTERNAL", "Memory operations have five fields.");
  for (size_t i = 0; i < memory.size(); i += kFields)
    batch.memory.push_back({static_cast<MemoryOp::Kind>(memory[i]), memory[i + 1], memory[i + 2], memory[i + 3], memory[i + 4]});
  return batch;
}

Napi::Value decode_(const Napi::CallbackInfo& info) {
  const auto& session = session_at(info, 0);
  auto batch = std::make_shared<Batch>(batch_from(object_at(info, 1)));
  Session* raw = session.get();
  return Environment::of(info.Env()).run(info.Env(), session, [raw, batch]() -> Settle {
    if (!raw->engine) throw Error("ERR_CLOSED", "The model is closed.");
    auto result = std::make_shared<BatchResult>(raw->engine->decode(*batch));
    return [result](Napi::Env env, const auto&) -> Napi::Value {
      Napi::Object out = Napi::Object::New(env);
      out.Set("scores", copied<Napi::Float32Array>(env, result->scores));
      out.Set("hidden", copied<Napi::Float32Array>(env, result->hidden));
      out.Set("gates", copied<Napi::Float32Array>(env, result->gates));
      out.Set("nonFinite", Napi::Number::New(env, static_cast<double>(result->non_finite)));
      out.Set("nodesAfterNorm", Napi::Number::New(env, static_cast<double>(result->nodes_after_norm)));
      out.Set("products", Napi::Number::New(env, static_cast<double>(result->accelerated.products)));
      out.Set("attentions", Napi::Number::New(env, static_cast<double>(result->accelerated.attentions)));
      return out;
    };
  });
}

// Ends what this environment computes and frees its models, before the process's exit destroys what they stand on.
// Environment cleanup hooks are no help there: process.exit() on the main thread does not run them, and llama.cpp's
// static objects went while a batch was being computed (a crash in one exit of ten).
Napi::Value shut_down_(const Napi::CallbackInfo& info) {
  Environment::of(info.Env()).shut_down();
  return info.Env().Undefined();
}

// Frees the model after the batches that were posted before.
Napi::Value close_model_(const Napi::CallbackInfo& info) {
  const auto& session = session_at(info, 0);
  Session* raw = session.get();
  Napi::Value closed = Environment::of(info.Env()).run(info.Env(), session, [raw]() -> Settle {
    raw->engine.reset();
    return [](Napi::Env env, const std::shared_ptr<Session>& session) -> Napi::Value {
      session->shut_down();
      return env.Undefined();
    };
  });
  session->closing = true;
  return closed;
}

Napi::Value quantize_(const Napi::CallbackInfo& info) {
  const Napi::Object options = object_at(info, 0);
  const std::string input = get_string(options, "input"), output = get_string(options, "output");
  const int32_t file_type = get_int(options, "fileType"), threads = get_size(options, "threads");
  const std::vector<std::string> patterns = get_strings(options, "tensorPatterns");
  const std::vector<int32_t> types = get_ints(options, "tensorTypes");
  if (patterns.size() != types.size()) throw coded_error(info.Env(), "ERR_INTERNAL", "Every tensor pattern has a type.");
  std::vector<TensorOverride> overrides;
  for (size_t i = 0; i < types.size(); i++) overrides.push_back({patterns[i], types[i]});
  Environment& environment = Environment::of(info.Env());
  return environment.run(info.Env(), environment.new_session(), [=]() -> Settle {
    quantize(input, output, file_type, threads, overrides);
    return [](Napi::Env env, const auto&) -> Napi::Value { return env.Undefined(); };
  });
}

// At once: it is for a head's tensors, which are small.
Napi::Value dequantize_(const Napi::CallbackInfo& info) {
  const Napi::Object options = object_at(info, 0);
  const int32_t type = get_int(options, "type"), elements = get_size(options, "elements");
  const std::vector<uint8_t> bytes = get_bytes(options, "bytes");
  return copied<Napi::Float32Array>(info.Env(), guarded(info.Env(), [&] { return dequantize(type, bytes, elements); }));
}

Napi::Value lock_file_(const Napi::CallbackInfo& info) {
  switch (lock_file(int_at(info, 0))) {
    case FileLock::kTaken:
      return Napi::String::New(info.Env(), "taken");
    case FileLock::kBusy:
      return Napi::String::New(info.Env(), "busy");
    default:
      return Napi::String::New(info.Env(), "unsupported");
  }
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new Environment(env));
  exports.Set("openLibraries", Napi::Function::New(env, open_libraries_));
  exports.Set("loadBackend", Napi::Function::New(env, load_backend_));
  exports.Set("loadAccelerator", Napi::Function::New(env, load_accelerator_));
  exports.Set("devices", Napi::Function::New(env, devices_));
  exports.Set("cpuFeatures", Napi::Function::New(env, cpu_features_));
  exports.Set("setLog", Napi::Function::New(env, set_log_));
  exports.Set("openModel", Napi::Function::New(env, open_model_));
  exports.Set("tokenize", Napi::Function::New(env, tokenize_));
  exports.Set("decode", Napi::Function::New(env, decode_));
  exports.Set("closeModel", Napi::Function::New(env, close_model_));
  exports.Set("dequantize", Napi::Function::New(env, dequantize_));
  exports.Set("quantize", Napi::Function::New(env, quantize_));
  exports.Set("lockFile", Napi::Function::New(env, lock_file_));
  exports.Set("shutDown", Napi::Function::New(env, shut_down_));
  return exports;
}

}  // namespace
}  // namespace scorehead

using scorehead::init;
NODE_API_MODULE(scorehead, init)
