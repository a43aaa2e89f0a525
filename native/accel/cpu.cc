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

}  // namespace

const Kernels* kernels_of_this_cpu() {
  const Registers one = cpuid(1, 0), seven = cpuid(7, 0), more = cpuid(7, 1);
  const uint64_t saved = saved_states(one);
  const auto saves = [saved](uint64_t states) { return (saved & states) == states; };
  constexpr uint64_t kVectors256 = 0x6, kVectors512 = 0xE6, kTiles = 0x60000;

  // llama.cpp multiplies bytes on AMX's tiles, many times as fast as vectors can.
  const bool amx_int8 = has(seven.edx, 24) && has(seven.edx, 25);
  if (amx_int8 && saves(kTiles)) return nullptr;

  const bool fma = has(one.ecx, 12), f16c = has(one.ecx, 29), avx2 = has(seven.ebx, 5);
  if (!saves(kVectors256) || !fma || !f16c || !avx2) return nullptr;
  const bool foundation = has(seven.ebx, 16), dq = has(seven.ebx, 17), bw = has(seven.ebx, 30), vl = has(seven.ebx, 31);
  const bool vnni512 = has(seven.ecx, 11), bf16 = has(more.eax, 5), vnni256 = has(more.eax, 4);
  if (saves(kVectors512) && foundation && dq && bw && vl && vnni512) return bf16 ? &kAvx512VnniBf16 : &kAvx512Vnni;
  return vnni256 ? &kAvxVnni : &kAvx2;
}

}  // namespace scorehead::accel
