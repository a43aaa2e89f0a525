// Checks the accelerator's kernels on every instruction set that this processor has:
//
//     accel-check <ggml-base library> <ggml library> <folder of backends>
//
// prints one JSON object a line; the exit code is 1 where something is wrong, with the reason on stderr.
#include <cstdio>
#include <exception>

#include "check.h"
#include "cpu.h"
#include "stock.h"

namespace check {

const char* type_name(ggml_type type) {
  switch (type) {
    case GGML_TYPE_Q8_0: return "q8_0";
    case GGML_TYPE_Q4_0: return "q4_0";
    case GGML_TYPE_Q4_K: return "q4_k";
    case GGML_TYPE_Q5_K: return "q5_k";
    case GGML_TYPE_Q6_K: return "q6_k";
    case GGML_TYPE_BF16: return "bf16";
    case GGML_TYPE_F16: return "f16";
    default: return "f32";
  }
}

namespace {

void check_kernels(const Kernels& kernels) {
  for (const ggml_type type : kTypes) {
    check_spoiled(kernels, type);
    check_threads(kernels, type);
    const size_t compared = check_bits(kernels, type);
    std::printf("{\"kernels\":\"%s\",\"type\":\"%s\",\"equal\":%zu,\"errorOverStock\":%.4f}\n", kernels.name, type_name(type), compared,
                relative_error(kernels, type));
  }
  for (const ggml_type cache : {GGML_TYPE_F16, GGML_TYPE_F32})
    std::printf("{\"kernels\":\"%s\",\"cache\":\"%s\",\"attentionError\":%.3g}\n", kernels.name, type_name(cache),
                attention_error(kernels, cache));
}

}  // namespace
}  // namespace check

int main(int count, char** arguments) {
  if (count != 4) return 2;
  try {
    check::open_stock(arguments[1], arguments[2], arguments[3]);
    for (const check::Kernels* kernels : scorehead::accel::runnable_kernels()) check::check_kernels(*kernels);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
