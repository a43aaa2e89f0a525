// How many operations a second this processor's instructions can do at most, on so many threads:
//
//     accel-peak <threads>
//
// prints one JSON object: operations (a multiplication or an addition) a second in 10^9, of 8-bit integers, bf16 and float32; 0
// for bf16 where there is no such instruction. With AVX2 alone, 8-bit products are added up by instructions of their own, beside it.
#include <cpuid.h>
#include <immintrin.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "cpu.h"

namespace {

constexpr long kRounds = 3000000;

// Issues an instruction on each of 12 registers, over and over; all are 0 at first. By its name, as this file is compiled for no
// particular processor.
#define LOOP(name, instruction, width)                                                                            \
  void name() {                                                                                                   \
    __asm__ volatile("vzeroall" ::: CLOBBERED);                                                                   \
    for (long round = 0; round < kRounds; round++)                                                                \
      __asm__ volatile(".irp i,0,1,2,3,4,5,6,7,8,9,10,11\n\t" instruction " %%" width "12, %%" width "13, %%" width \
                       "\\i\n\t.endr" ::: CLOBBERED);                                                            \
  }
#define CLOBBERED                                                                                                    \
  "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", \
      "xmm14", "xmm15"
LOOP(int8_512, "vpdpbusd", "zmm")
LOOP(int8_256, "%{vex%} vpdpbusd", "ymm")
LOOP(int8_pairs_256, "vpmaddubsw", "ymm")
LOOP(bf16_512, "vdpbf16ps", "zmm")
LOOP(float_512, "vfmadd231ps", "zmm")
LOOP(float_256, "vfmadd231ps", "ymm")

// 10^9 operations a second, the best of a few runs.
double rate(void (*loop)(), int operations, int threads) {
  double best = 0;
  for (int run = 0; run < 5; run++) {
    const auto start = std::chrono::steady_clock::now();
    std::vector<std::thread> others;
    for (int t = 1; t < threads; t++) others.emplace_back(loop);
    loop();
    for (std::thread& other : others) other.join();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    best = std::max(best, 12.0 * kRounds * operations * threads / seconds.count() / 1e9);
  }
  return best;
}

}  // namespace

int main(int count, char** arguments) {
  using namespace scorehead::accel;
  const int threads = count == 2 ? std::max(1, std::atoi(arguments[1])) : 1;
  const std::vector<const Kernels*> found = runnable_kernels();
  const auto has = [&](const Kernels& kernels) { return std::find(found.begin(), found.end(), &kernels) != found.end(); };
  const bool wide = has(kAvx512Vnni);
  const double int8 = wide ? rate(int8_512, 128, threads) : has(kAvxVnni) ? rate(int8_256, 64, threads) : rate(int8_pairs_256, 64, threads);
  const double bf16 = has(kAvx512VnniBf16) ? rate(bf16_512, 64, threads) : 0;
  const double f32 = wide ? rate(float_512, 32, threads) : has(kAvx2) ? rate(float_256, 16, threads) : 0;
  std::printf("{\"int8\":%.1f,\"bf16\":%.1f,\"f32\":%.1f}\n", int8, bf16, f32);
  return 0;
}
