#include "cpu.h"

#include <cpuid.h>

namespace scorehead::accel {
namespace {

struct Registers {
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

Registers cpuid(uint32_t leaf, uint32_t subleaf) {
  Registers r;
  __get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx);
  return r;
}

bool has(uint32_t word, int bit) { return word >> bit & 1; }

// The register states that the operating system saves: bits 1-2 for 256-bit vectors, 5-7 for 512-bit ones, 17-18 for tiles.
uint64_t saved_states(const Registers& features) {
  constexpr int kOsxsave = 27;
  if (!has(features.ecx, kOsxsave)) return 0;
  uint32_t low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t{high} << 32 | low;
}

// What cpuid and the operating system say.
struct Features {
  Registers one = cpuid(1, 0), seven = cpuid(7, 0), more = cpuid(7, 1);
  uint64_t saved = saved_states(one);
  bool saves(uint64_t states) const { return (saved & states) == states; }

  bool avx2() const { return saves(0x6) && has(seven.ebx, 5) && has(one.ecx, 12) && has(one.ecx, 29); }  // with FMA and F16C
  bool avx_vnni() const { return avx2() && has(more.eax, 4); }
  bool avx512_vnni() const {
    const bool foundation = has(seven.ebx, 16), dq = has(seven.ebx, 17), bw = has(seven.ebx, 30), vl = has(seven.ebx, 31);
    return avx2() && saves(0xE6) && foundation && dq && bw && vl && has(seven.ecx, 11);
  }
  bool avx512_bf16() const { return avx512_vnni() && has(more.eax, 5); }
  bool amx_int8() const { return saves(0x60000) && has(seven.edx, 24) && has(seven.edx, 25); }
};

}  // namespace

std::vector<const Kernels*> runnable_kernels() {
  const Features features;
  std::vector<const Kernels*> found;
  if (features.avx512_bf16()) found.push_back(&kAvx512VnniBf16);
  if (features.avx512_vnni()) found.push_back(&kAvx512Vnni);
  if (features.avx_vnni()) found.push_back(&kAvxVnni);
  if (features.avx2()) found.push_back(&kAvx2);
  return found;
}

const Kernels* kernels_of_this_cpu() {
  // llama.cpp multiplies bytes on AMX's tiles, many times as fast as vectors can.
  if (Features().amx_int8()) return nullptr;
  const std::vector<const Kernels*> found = runnable_kernels();
  return found.empty() ? nullptr : found.front();
}

}  // namespace scorehead::accel
