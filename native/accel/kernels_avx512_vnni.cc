// Compiled for AVX-512 with VNNI.
#include "simd_512.h"

#include "kernel_table.h"

namespace scorehead::accel {
namespace {

const Kernel* kernel_with_bf16(ggml_type weights) {
  return weights == GGML_TYPE_BF16 ? &kAvx512Bf16 : kernel_of(weights);
}

}  // namespace

const Kernels kAvx512Vnni = {"avx512-vnni", kernel_of, soft_max_row};
const Kernels kAvx512VnniBf16 = {"avx512-vnni-bf16", kernel_with_bf16, soft_max_row};
}  // namespace scorehead::accel
