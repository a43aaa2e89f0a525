#include "dequantize.h"

#include <cstring>
#include <string>

#include "error.h"
#include "llama_api.h"

namespace scorehead {

std::vector<float> dequantize(int32_t type, const std::vector<uint8_t>& bytes, size_t elements) {
  const LlamaApi& api = llama();
  // ggml asserts on a number that is no type.
  if (type < 0 || type >= GGML_TYPE_COUNT) throw Error("ERR_INTERNAL", "There is no ggml type " + std::to_string(type) + ".");
  const ggml_type_traits* traits = api.ggml_get_type_traits(static_cast<enum ggml_type>(type));
  const size_t block = static_cast<size_t>(traits->blck_size);
  if (block == 0 || elements % block != 0 || bytes.size() != elements / block * traits->type_size)
    throw Error("ERR_INTERNAL", "A tensor's bytes are not as many as its elements need.");
  std::vector<float> out(elements);
  if (type == GGML_TYPE_F32) {
    std::memcpy(out.data(), bytes.data(), bytes.size());
    return out;
  }
  if (!traits->to_float) throw Error("ERR_UNSUPPORTED", std::string("A tensor of type ") + traits->type_name + " holds no weights.");
  traits->to_float(bytes.data(), out.data(), static_cast<int64_t>(elements));
  return out;
}

}  // namespace scorehead
