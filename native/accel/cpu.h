// Which kernels this processor has.
#pragma once

#include <vector>

#include "kernels.h"

namespace scorehead::accel {

// All kernels that this processor and operating system can run, the best first.
std::vector<const Kernels*> runnable_kernels();

// The best of them; null where llama.cpp's own are as good or better.
const Kernels* kernels_of_this_cpu();

}  // namespace scorehead::accel
