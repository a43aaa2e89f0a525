// The llama.cpp and ggml functions that scorehead calls, as a table filled at run time from the opened libraries.
//
// The addon links against none of them: one addon serves every build of the pinned release (CPU, CUDA, Metal,
// Vulkan), and a missing library is an error with a remedy instead of a failed import.
#pragma once

#include <ggml-backend.h>
#include <llama.h>

#define SCOREHEAD_LLAMA_FUNCTIONS(X) \
  X(llama_version)                   \
  X(llama_backend_init)              \
  X(llama_log_set)                   \
  X(llama_model_default_params)      \
  X(llama_context_default_params)    \
  X(llama_model_quantize_default_params) \
  X(llama_model_load_from_file)      \
  X(llama_model_free)                \
  X(llama_init_from_model)           \
  X(llama_free)                      \
  X(llama_get_memory)                \
  X(llama_memory_clear)              \
  X(llama_memory_seq_rm)             \
  X(llama_memory_seq_cp)             \
  X(llama_memory_seq_add)            \
  X(llama_memory_can_shift)          \
  X(llama_model_get_vocab)           \
  X(llama_model_n_embd)              \
  X(llama_model_n_swa)               \
  X(llama_model_has_encoder)         \
  X(llama_model_is_recurrent)        \
  X(llama_vocab_n_tokens)            \
  X(llama_max_devices)               \
  X(llama_max_parallel_sequences)    \
  X(llama_n_ctx)                     \
  X(llama_tokenize)                  \
  X(llama_decode)                    \
  X(llama_model_quantize)            \
  X(ggml_get_type_traits)            \
  X(ggml_backend_load)               \
  X(ggml_backend_load_all_from_path) \
  X(ggml_backend_dev_count)          \
  X(ggml_backend_dev_get)            \
  X(ggml_backend_dev_by_name)        \
  X(ggml_backend_dev_by_type)        \
  X(ggml_backend_dev_name)           \
  X(ggml_backend_dev_description)    \
  X(ggml_backend_dev_type)           \
  X(ggml_backend_dev_memory)         \
  X(ggml_backend_dev_backend_reg)    \
  X(ggml_backend_reg_name)           \
  X(ggml_backend_reg_dev_count)      \
  X(ggml_backend_reg_dev_get)        \
  X(ggml_backend_reg_get_proc_address) \
  X(ggml_get_glu_op)                 \
  X(ggml_backend_tensor_get)         \
  X(ggml_backend_tensor_set)         \
  X(ggml_graph_n_nodes)              \
  X(ggml_graph_node)                 \
  X(ggml_init)                       \
  X(ggml_free)                       \
  X(ggml_custom_4d)

namespace scorehead {

struct LlamaApi {
#define SCOREHEAD_MEMBER(name) decltype(&::name) name = nullptr;
  SCOREHEAD_LLAMA_FUNCTIONS(SCOREHEAD_MEMBER)
#undef SCOREHEAD_MEMBER
};

// The filled table. Throws ERR_RUNTIME where no libraries have been opened.
const LlamaApi& llama();

}  // namespace scorehead
