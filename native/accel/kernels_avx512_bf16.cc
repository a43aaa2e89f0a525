// Compiled for AVX-512 with BF16.
#include "simd_512.h"

#include "bf16_kernel.h"

namespace scorehead::accel {

const Kernel kAvx512Bf16 = bf16_kernel();

}  // namespace scorehead::accel
