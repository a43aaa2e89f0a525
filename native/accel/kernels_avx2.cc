// Compiled for AVX2 with FMA and F16C.
#include "simd_256.h"

#include "kernel_table.h"

namespace scorehead::accel {
const Kernels kAvx2 = {"avx2", kernel_of, soft_max_row};
}  // namespace scorehead::accel
