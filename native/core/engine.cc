#include "engine.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "error.h"
#include "log.h"

namespace scorehead {
namespace {

std::string with_log(const std::string& message, const LogCapture& log) {
  return log.text().empty() ? message : message + " llama.cpp says: " + log.text();
}

llama_model_kv_override override_of(const std::string& key, llama_model_kv_override_type tag) {
  llama_model_kv_override override_ = {};
  override_.tag = tag;
  if (key.size() >= sizeof(override_.key)) throw Error("ERR_INTERNAL", "A key to override is too long: " + key + ".");
  std::strncpy(override_.key, key.c_str(), sizeof(override_.key) - 1);
  return override_;
}

// Whether all of them are numbers. By their bits and without an early end, so that the compiler makes vector code of it.
bool all_finite(const float* values, size_t n) {
  constexpr size_t kLanes = 16;
  constexpr uint32_t kExponent = 0x7f800000;
  uint32_t odd[kLanes] = {0}, bits[kLanes] = {0};
  for (size_t i = 0; i < n; i += kLanes) {
    std::memcpy(bits, values + i, std::min(kLanes, n - i) * sizeof(float));
    for (size_t lane = 0; lane < kLanes; lane++) odd[lane] |= (bits[lane] & kExponent) == kExponent;
  }
  return std::all_of(odd, odd + kLanes, [](uint32_t lane) { return lane == 0; });
}

// The first of `rows` rows with a number that is none, or -1.
int64_t first_non_finite(const std::vector<float>& values, size_t width) {
  for (size_t at = 0; at < values.size(); at += width)
    if (!all_finite(values.data() + at, width)) return static_cast<int64_t>(at / width);
  return -1;
}

// The rows at `indices`, one after the other.
std::vector<float> gather(const std::vector<float>& rows, size_t width, const std::vector<size_t>& indices) {
  std::vector<float> out;
  out.reserve(indices.size() * width);
  for (size_t index : indices) out.insert(out.end(), rows.begin() + index * width, rows.begin() + (index + 1) * width);
  return out;
}

// What is to be read otherwise than the file says, and a terminator.
std::vector<llama_model_kv_override> overrides_of(const EngineOptions& options) {
  if (options.override_keys.size() != options.override_values.size())
    throw Error("ERR_INTERNAL", "Keys to override and their values are not as many.");
  // scorehead puts the space prefix itself, before the stretches of text where the checkpoint's tokenizer has it.
  std::vector<llama_model_kv_override> overrides = {
      override_of("tokenizer.ggml.add_space_prefix", LLAMA_KV_OVERRIDE_TYPE_BOOL)};
  overrides.back().val_bool = false;
  for (size_t i = 0; i < options.override_keys.size(); i++) {
    overrides.push_back(override_of(options.override_keys[i], LLAMA_KV_OVERRIDE_TYPE_INT));
    overrides.back().val_i64 = options.override_values[i];
  }
  overrides.push_back({});
  return overrides;
}

}  // namespace

Engine::Engine(EngineOptions options, const std::atomic<bool>& cancelled)
    : options_(std::move(options)), cancelled_(cancelled) {
  try {
    open_model();
    open_context();
  } catch (...) {
    if (model_) llama().llama_model_free(model_);
    throw;
  }
}

Engine::~Engine() {
  llama().llama_free(context_);
  llama().llama_model_free(model_);
}

void Engine::open_model() {
  const LlamaApi& api = llama();
  std::vector<ggml_backend_dev_t> devices;
  for (const std::string& name : options_.devices) {
    ggml_backend_dev_t device = api.ggml_backend_dev_by_name(name.c_str());
    if (!device) throw Error("ERR_DEVICE", "There is no device named " + name + "; `scorehead doctor` lists them.");
    devices.push_back(device);
  }
  devices.push_back(nullptr);
  const std::vector<llama_model_kv_override> overrides = overrides_of(options_);

  llama_model_params params = api.llama_model_default_params();
  params.devices = devices.data();
  params.n_gpu_layers = options_.devices.empty() ? 0 : options_.gpu_layers;
  params.kv_overrides = overrides.data();
  // Weights that llama.cpp has rearranged for its own kernels are of no use to others.
  params.use_extra_bufts = !options_.accel;
  if (options_.main_gpu >= 0) {
    params.split_mode = LLAMA_SPLIT_MODE_NONE;
    params.main_gpu = options_.main_gpu;
  }
  std::vector<float> split = options_.tensor_split;
  if (!split.empty()) {
    split.resize(std::max(split.size(), api.llama_max_devices()));  // llama.cpp reads so many
    params.tensor_split = split.data();
  }
  params.progress_callback = [](float, void* cancelled) {
    return !static_cast<const std::atomic<bool>*>(cancelled)->load();
  };
  params.progress_callback_user_data = const_cast<std::atomic<bool>*>(&cancelled_);

  const LogCapture log;
  model_ = api.llama_model_load_from_file(options_.path.c_str(), params);
  if (cancelled_) throw Error("ERR_ABORTED", "Loading " + options_.path + " was aborted.");
  if (!model_) throw Error("ERR_LOAD", with_log("llama.cpp cannot load " + options_.path + ".", log));
  vocabulary_ = api.llama_model_get_vocab(model_);
  vocabulary_size_ = api.llama_vocab_n_tokens(vocabulary_);

  const size_t width = api.llama_model_n_embd(model_);
  if (width != options_.head.inputs())
    throw Error("ERR_HEAD", "The head is " + std::to_string(options_.head.inputs()) +
                                " wide and the backbone's hidden state " + std::to_string(width) + ": " + options_.path +
                                " was put together from two models.");
  if (api.llama_model_has_encoder(model_) || api.llama_model_is_recurrent(model_))
    throw Error("ERR_UNSUPPORTED", options_.path + " is not a decoder-only transformer.");
}

void Engine::open_context() {
  const LlamaApi& api = llama();
  const bool cpu = options_.devices.empty();
  llama_context_params params = api.llama_context_default_params();
  params.n_ctx = options_.context_tokens;
  // One micro-batch a call, so that the caller can stop between two.
  params.n_batch = params.n_ubatch = options_.batch_tokens;
  params.n_outputs_max = options_.max_outputs;
  params.n_outputs_max_per_seq = options_.max_outputs;
  // With a unified cache llama.cpp takes all sequence ids all the same, and reserves logits for one only.
  params.n_seq_max = 1;
  params.kv_unified = true;
  // Layers with a window keep as many cells as the others: a prefix is shared from any position.
  params.swa_full = true;
  params.n_threads = params.n_threads_batch = options_.threads;
  params.type_k = params.type_v = options_.kv_f32 ? GGML_TYPE_F32 : GGML_TYPE_F16;
  // Fused attention would cast an F32 cache to F16, and on the CPU it adds up in F16: errors of 4e-2 at 5,000 tokens,
  // where they stay below 1e-3 without it.
  params.flash_attn_type = cpu || options_.kv_f32 ? LLAMA_FLASH_ATTN_TYPE_DISABLED : LLAMA_FLASH_ATTN_TYPE_AUTO;
  if (cpu && options_.kv_f32) observer_.compute_gelu();
  params.embeddings = false;
  params.pooling_type = LLAMA_POOLING_TYPE_NONE;  // whatever the file says
  // Offloaded operations would put the vocabulary matmul into a graph split of its own, where it is not skipped.
  params.op_offload = !cpu;
  params.offload_kqv = !cpu;
  params.cb_eval = GraphObserver::on_node;
  params.cb_eval_user_data = &observer_;
  params.abort_callback = [](void* cancelled) { return static_cast<const std::atomic<bool>*>(cancelled)->load(); };
  params.abort_callback_data = const_cast<std::atomic<bool>*>(&cancelled_);

  const LogCapture log;
  const AcceleratedContexts accelerated(options_.accel);
  context_ = api.llama_init_from_model(model_, params);
  if (!context_)
    throw Error("ERR_MEMORY", with_log("llama.cpp cannot set up a context of " + std::to_string(options_.context_tokens) +
                                           " tokens; a smaller `context` needs less memory.",
                                       log));
  // Where texts can outgrow a layer's window, llama.cpp reuses a cell that only one sequence holds and no longer sees,
  // and a prefix that is to be shared would lose its beginning. So every sequence is two of llama.cpp's.
  const int32_t window = api.llama_model_n_swa(model_);
  ids_per_sequence_ = window > 0 && options_.context_tokens > static_cast<uint32_t>(window) ? 2 : 1;
  sequences_ = static_cast<int32_t>(api.llama_max_parallel_sequences()) / ids_per_sequence_;
}

uint32_t Engine::context_tokens() const { return llama().llama_n_ctx(context_); }

std::vector<int32_t> Engine::tokenize(const std::string& text) const {
  // A sub-word model never makes more tokens than there are bytes.
  std::vector<int32_t> ids(text.size() + 1);
  int32_t count = 0;
  try {
    count = llama().llama_tokenize(vocabulary_, text.data(), static_cast<int32_t>(text.size()), ids.data(),
                                   static_cast<int32_t>(ids.size()), false, false);
  } catch (const std::out_of_range&) {  // llama.cpp's look-up of a byte's token
    throw Error("ERR_TOKENIZER", "The text has a character for which the vocabulary has neither a token nor byte tokens.");
  }
  if (count < 0) throw Error("ERR_INTERNAL", "llama.cpp needs more room for the tokens than the text has bytes.");
  ids.resize(count);
  return ids;
}

// llama.cpp asserts, and so ends the process, on much of what is refused here.
void Engine::check(const Batch& batch) const {
  const auto broken = [](const std::string& rule) { return Error("ERR_INTERNAL", "A batch breaks a rule: " + rule + "."); };
  const size_t n = batch.tokens.size();
  if (n == 0 || n > options_.batch_tokens) throw broken("it has 1 to " + std::to_string(options_.batch_tokens) + " tokens");
  if (batch.positions.size() != n || batch.outputs.size() != n || batch.sequence_offsets.size() != n + 1)
    throw broken("its arrays have one entry a token");
  if (batch.sequence_offsets[0] != 0 || batch.sequence_offsets[n] != static_cast<int32_t>(batch.sequences.size()))
    throw broken("sequence offsets run from 0 to the number of sequence ids");
  size_t outputs = 0;
  for (size_t i = 0; i < n; i++) {
    if (batch.tokens[i] < 0 || batch.tokens[i] >= vocabulary_size_)
      throw Error("ERR_TOKEN", "Token id " + std::to_string(batch.tokens[i]) + " is not in the vocabulary of " +
                                   std::to_string(vocabulary_size_) + ".");
    if (batch.positions[i] < 0) throw broken("positions are not negative");
    if (batch.sequence_offsets[i + 1] <= batch.sequence_offsets[i]) throw broken("each token has a sequence");
    const uint8_t output = batch.outputs[i];
    if (output > (kScore | kHidden | kGate) || (output != 0 && !(output & kScore))) throw broken("an output has a score");
    if ((output & kGate) && options_.gate.empty()) throw broken("only a gated head has a gate");
    outputs += output != 0;
  }
  for (int32_t id : batch.sequences)
    if (id < 0 || id >= sequences_) throw broken("sequence ids are 0 to " + std::to_string(sequences_ - 1));
  if (outputs > options_.max_outputs) throw broken("it has at most " + std::to_string(options_.max_outputs) + " outputs");
  for (const auto* named : {&batch.remember, &batch.recall})
    for (const auto& token : *named)
      if (token.index < 0 || token.index >= static_cast<int32_t>(n)) throw broken("it remembers and recalls for its own tokens");
}

void Engine::apply(const MemoryOp& op) {
  const bool clears = op.kind == MemoryOp::Kind::remove && op.sequence == -1;
  const bool copies = op.kind == MemoryOp::Kind::copy;
  const auto exists = [&](int32_t sequence) { return sequence >= 0 && sequence < sequences_; };
  if ((!clears && !exists(op.sequence)) || (copies && !exists(op.argument)))
    throw Error("ERR_INTERNAL", "A memory operation names a sequence that cannot exist.");
  // The numbers too: attention multiplies a masked cell by 0, and 0 times a NaN that an earlier text left is NaN.
  if (clears) return llama().llama_memory_clear(llama().llama_get_memory(context_), true);
  // Cells that several sequences hold are moved with the first that holds them.
  const int32_t ids = op.kind == MemoryOp::Kind::shift ? 1 : ids_per_sequence_;
  for (int32_t i = 0; i < ids; i++) apply_to(op, op.sequence + i * sequences_, op.argument + i * sequences_);
}

void Engine::apply_to(const MemoryOp& op, int32_t sequence, int32_t target) {
  const LlamaApi& api = llama();
  llama_memory_t memory = api.llama_get_memory(context_);
  switch (op.kind) {
    case MemoryOp::Kind::remove:
      if (!api.llama_memory_seq_rm(memory, sequence, op.from, op.to))
        throw Error("ERR_INTERNAL", "llama.cpp cannot drop part of sequence " + std::to_string(sequence) + ".");
      return;
    case MemoryOp::Kind::shift:
      if (!api.llama_memory_can_shift(memory))
        throw Error("ERR_UNSUPPORTED", "This architecture's cache cannot move positions, which the card reading needs.");
      return api.llama_memory_seq_add(memory, sequence, op.from, op.to, op.argument);
    case MemoryOp::Kind::copy:
      return api.llama_memory_seq_cp(memory, sequence, target, op.from, op.to);
  }
  throw Error("ERR_INTERNAL", "There is no such memory operation.");
}

// llama.cpp's ids of all tokens' sequences, one after the other.
std::vector<int32_t> Engine::llama_sequences(const Batch& batch) const {
  std::vector<int32_t> ids;
  for (int32_t sequence : batch.sequences)
    for (int32_t i = 0; i < ids_per_sequence_; i++) ids.push_back(sequence + i * sequences_);
  return ids;
}

BatchResult Engine::decode(const Batch& batch) {
  check(batch);
  for (const MemoryOp& op : batch.memory) apply(op);

  const size_t n = batch.tokens.size(), width = options_.head.inputs();
  std::vector<int32_t> sequence_counts(n);
  std::vector<llama_seq_id*> sequence_ids(n);
  std::vector<int8_t> wanted(n);
  std::vector<llama_seq_id> ids = llama_sequences(batch);
  for (size_t i = 0; i < n; i++) {
    sequence_counts[i] = ids_per_sequence_ * (batch.sequence_offsets[i + 1] - batch.sequence_offsets[i]);
    sequence_ids[i] = ids.data() + ids_per_sequence_ * batch.sequence_offsets[i];
    wanted[i] = batch.outputs[i] != 0;
  }
  llama_batch raw = {static_cast<int32_t>(n),
                     const_cast<int32_t*>(batch.tokens.data()),
                     nullptr,
                     const_cast<int32_t*>(batch.positions.data()),
                     sequence_counts.data(),
                     sequence_ids.data(),
                     wanted.data()};

  observer_.begin(width, batch.remember, batch.recall);
  const accel::Work before = accelerator_work();
  const LogCapture log;
  const int32_t status = llama().llama_decode(context_, raw);
  if (status == 1) throw Error("ERR_MEMORY", "The KV cache has no room for the batch.");
  if (status == 2 || cancelled_) throw Error("ERR_CLOSED", "The model was closed while it computed.");
  if (status != 0) throw Error(status == -1 ? "ERR_INTERNAL" : "ERR_DECODE", with_log("llama_decode failed.", log));
  if (!observer_.failure().empty()) throw Error("ERR_DECODE", "Reading the graph failed: " + observer_.failure() + ".");

  BatchResult result = read_outputs(batch, observer_.hidden());
  result.nodes_after_norm = observer_.nodes_after_norm();
  const accel::Work after = accelerator_work();
  result.accelerated = {after.products - before.products, after.attentions - before.attentions};
  return result;
}

// Applies the head to the hidden states of the batch's outputs.
BatchResult Engine::read_outputs(const Batch& batch, const std::vector<float>& hidden) const {
  const size_t width = options_.head.inputs(), threads = options_.threads;
  std::vector<size_t> with_hidden, with_gate;
  size_t outputs = 0;
  for (uint8_t output : batch.outputs) {
    if (output & kHidden) with_hidden.push_back(outputs);
    if (output & kGate) with_gate.push_back(outputs);
    outputs += output != 0;
  }
  if (hidden.size() != outputs * width)
    throw Error("ERR_INTERNAL", "The graph gave " + std::to_string(hidden.size() / width) + " hidden states for " +
                                    std::to_string(outputs) + " outputs.");
  BatchResult result;
  result.non_finite = first_non_finite(hidden, width);
  if (result.non_finite >= 0) return result;
  std::vector<float> scores = options_.head.apply(hidden.data(), outputs, threads);
  result.non_finite = first_non_finite(scores, options_.head.outputs());
  if (result.non_finite >= 0) return result;
  if (!with_gate.empty()) {
    std::vector<float> gates = options_.gate.apply(gather(hidden, width, with_gate).data(), with_gate.size(), threads);
    const int64_t bad = first_non_finite(gates, options_.gate.outputs());
    if (bad >= 0) result.non_finite = static_cast<int64_t>(with_gate[bad]);
    if (bad >= 0) return result;
    result.gates = std::move(gates);
  }
  result.scores = std::move(scores);
  result.hidden = gather(hidden, width, with_hidden);
  return result;
}

void quantize(const std::string& input, const std::string& output, int32_t file_type, int32_t threads,
              const std::vector<TensorOverride>& overrides) {
  const LlamaApi& api = llama();
  llama_model_quantize_params params = api.llama_model_quantize_default_params();
  params.ftype = static_cast<enum llama_ftype>(file_type);
  params.nthread = threads;
  // The default of 8 GiB would hold a whole tensor and its F32 copy.
  params.max_buf_size = size_t(64) << 20;
  std::vector<llama_model_tensor_override> types;
  for (const TensorOverride& override : overrides)
    types.push_back({override.pattern.c_str(), static_cast<enum ggml_type>(override.type)});
  types.push_back({nullptr, GGML_TYPE_COUNT});  // ends the list
  if (!overrides.empty()) params.tt_overrides = types.data();
  const LogCapture log;
  if (api.llama_model_quantize(input.c_str(), output.c_str(), &params) != 0)
    throw Error("ERR_QUANTIZE", with_log("llama.cpp cannot quantise " + input + ".", log));
}

}  // namespace scorehead
