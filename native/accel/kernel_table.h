// Each weight type's kernel on the instruction set that the unit is compiled for. See simd_512.h for the linkage.
#pragma once

#include "float_kernel.h"
#include "pack_codes.h"
#include "soft_max.h"

namespace {

// Null where there is none.
inline const scorehead::accel::Kernel* kernel_of(ggml_type weights) {
  using scorehead::accel::Kernel;
  static constexpr Kernel q8_0 = code_kernel<Q8_0>(), q4_0 = code_kernel<Q4_0>(), q4_K = code_kernel<Q4_K>(),
                          q5_K = code_kernel<Q5_K>(), q6_K = code_kernel<Q6_K>(), f32 = float_kernel<F32>(),
                          f16 = float_kernel<F16>(), bf16 = float_kernel<BF16>();
  switch (weights) {
    case GGML_TYPE_Q8_0: return &q8_0;
    case GGML_TYPE_Q4_0: return &q4_0;
    case GGML_TYPE_Q4_K: return &q4_K;
    case GGML_TYPE_Q5_K: return &q5_K;
    case GGML_TYPE_Q6_K: return &q6_K;
    case GGML_TYPE_F32: return &f32;
    case GGML_TYPE_F16: return &f16;
    case GGML_TYPE_BF16: return &bf16;
    default: return nullptr;
  }
}

}  // namespace
