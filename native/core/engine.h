// One loaded model with its context and head: tokens in, hidden states and scores out. Not thread-safe, except for
// tokenize().
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "accelerator.h"
#include "graph_observer.h"
#include "head.h"

namespace scorehead {

struct EngineOptions {
  std::string path;
  std::vector<std::string> devices;  // names; empty: the CPU alone
  int32_t gpu_layers = -1;           // -1: all
  int32_t main_gpu = -1;             // index of the one device to use; -1: all of them, by layers
  std::vector<float> tensor_split;   // shares of the devices; empty: by their free memory
  std::vector<std::string> override_keys;  // integer keys of the file that are taken to have other values …
  std::vector<int32_t> override_values;    // … these
  uint32_t context_tokens = 0;       // cells of the KV cache
  uint32_t batch_tokens = 0;         // the most tokens of one decode(), computed as one micro-batch
  uint32_t max_outputs = 0;          // the most outputs of one decode()
  int32_t threads = 1;
  bool accel = false;   // compute with scorehead's own kernels; for the CPU alone
  bool kv_f32 = false;  // F32 cache and exact attention; else F16, with fused attention where the device has it
  Network head;
  Network gate;  // a second network, for the outputs that ask for it; or empty
};

// A change to the KV cache before a batch is computed. Positions [from, to); -1: from the start, to the end.
struct MemoryOp {
  enum class Kind : int32_t { remove = 0, shift = 1, copy = 2 };
  Kind kind;
  int32_t sequence;  // remove: -1 clears everything
  int32_t from, to;
  int32_t argument;  // shift: added to the positions; copy: the sequence that shares the cells from now on
};

// What an output of a batch is wanted for: a sum of these, kScore among them. 0: the token has no output.
enum Output : uint8_t { kScore = 1, kHidden = 2, kGate = 4 };

struct Batch {
  std::vector<MemoryOp> memory;
  std::vector<int32_t> tokens;
  std::vector<int32_t> positions;         // one a token
  std::vector<int32_t> sequences;         // ids of all tokens, one after the other
  std::vector<int32_t> sequence_offsets;  // tokens + 1 offsets into `sequences`
  std::vector<uint8_t> outputs;           // Outputs of each token
  std::vector<GraphObserver::Token> remember;
  std::vector<GraphObserver::Token> recall;
};

struct BatchResult {
  std::vector<float> scores;  // [tokens with an output, head outputs], in token order
  std::vector<float> hidden;  // [tokens with kHidden, hidden size], in token order
  std::vector<float> gates;   // [tokens with kGate, gate outputs], in token order
  int64_t non_finite = -1;    // the first output with a NaN or infinity, and then no numbers are given; -1: none
  uint64_t nodes_after_norm = 0;
  accel::Work accelerated;  // what the accelerator computed of it
};

class Engine {
 public:
  // Loads the model. Throws ERR_LOAD, ERR_MEMORY, ERR_HEAD, ERR_DEVICE, or ERR_ABORTED once `cancelled` is set.
  Engine(EngineOptions options, const std::atomic<bool>& cancelled);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Cells of the KV cache, as llama.cpp rounded them.
  uint32_t context_tokens() const;

  // Sequence ids are 0 to this, exclusive.
  int32_t sequences() const { return sequences_; }

  // Sub-word ids of the text as it is: no prefix, no BOS, no special tokens.
  std::vector<int32_t> tokenize(const std::string& text) const;

  // Computes one batch. After an error the cache's content is undefined: begin the next batch with a clear.
  BatchResult decode(const Batch& batch);

 private:
  void open_model();
  void open_context();
  void check(const Batch& batch) const;
  void apply(const MemoryOp& op);
  BatchResult read_outputs(const Batch& batch, const std::vector<float>& hidden) const;
  void apply_to(const MemoryOp& op, int32_t sequence, int32_t target);
  std::vector<int32_t> llama_sequences(const Batch& batch) const;

  EngineOptions options_;
  const std::atomic<bool>& cancelled_;
  llama_model* model_ = nullptr;
  llama_context* context_ = nullptr;
  const llama_vocab* vocabulary_ = nullptr;
  int32_t vocabulary_size_ = 0;
  int32_t sequences_ = 0;
  // How many ids of llama.cpp's stand for each sequence.
  int32_t ids_per_sequence_ = 1;
  GraphObserver observer_;
};

// A regular expression for names of tensors, and the ggml_type that those get.
struct TensorOverride {
  std::string pattern;
  int32_t type;
};

// Quantises a GGUF file with llama.cpp's own quantiser; unknown keys, the head among them, are kept.
// `file_type` is a llama_ftype; the first override that is found in a tensor's name goes before its mix. Throws
// ERR_QUANTIZE.
void quantize(const std::string& input, const std::string& output, int32_t file_type, int32_t threads,
              const std::vector<TensorOverride>& overrides);

}  // namespace scorehead
