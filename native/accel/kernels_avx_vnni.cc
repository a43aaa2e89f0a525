// Compiled for AVX2 with AVX-VNNI.
#include "simd_256.h"

#include "kernel_table.h"

namespace scorehead::accel {
const Kernels kAvxVnni = {"avx-vnni", kernel_of, soft_max_row};
}  // namespace scorehead::accel
