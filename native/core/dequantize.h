// A tensor's elements as float32, by ggml's own reading of its type.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace scorehead {

// `bytes` are whole blocks of the ggml_type number `type`. Throws ERR_UNSUPPORTED where ggml cannot read it as floats,
// ERR_INTERNAL where the bytes are not as many as the elements need.
std::vector<float> dequantize(int32_t type, const std::vector<uint8_t>& bytes, size_t elements);

}  // namespace scorehead
