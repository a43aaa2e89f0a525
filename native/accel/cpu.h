// Which kernels this processor has.
#pragma once

#include "kernels.h"

namespace scorehead::accel {

// The best kernels for this processor and operating system; null where llama.cpp's own are as good or better.
const Kernels* kernels_of_this_cpu();

}  // namespace scorehead::accel
