#include "cpu.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#endif

namespace cpu2vec {

bool always_available() { return true; }

#if defined(__x86_64__)
namespace {

// See Intel's manual, volume 2, CPUID, and volume 1, chapter 13, for the register state that the system saves.
struct Flags {
  unsigned leaf1_c = 0, leaf7_b = 0, leaf7_c = 0, leaf7_d = 0, leaf7_1_a = 0, state = 0;
};

// NOTE: __builtin_cpu_supports would need a runtime library that is not linked.
Flags flags() {
  Flags f;
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return f;
  f.leaf1_c = c;
  if (!(c & (1u << 27))) return f;  // without OSXSAVE, xgetbv is not available
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
    f.leaf7_b = b, f.leaf7_c = c, f.leaf7_d = d;
    if (a >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d)) f.leaf7_1_a = a;
  }
  unsigned high;
  __asm__("xgetbv" : "=a"(f.state), "=d"(high) : "c"(0));
  return f;
}

bool all(unsigned flags, unsigned wanted) { return (flags & wanted) == wanted; }

constexpr unsigned kYmmState = 0x6, kZmmState = 0xe6;
constexpr unsigned kF = 1u << 16, kDQ = 1u << 17, kBW = 1u << 30, kVL = 1u << 31;

}  // namespace

bool has_avx2() {
  const Flags f = flags();
  return all(f.state, kYmmState) && all(f.leaf1_c, (1u << 12) | (1u << 28)) && all(f.leaf7_b, 1u << 5);
}

#ifndef CPU2VEC_SIMULATED_ISAS
bool has_avxvnni() { return has_avx2() && all(flags().leaf7_1_a, 1u << 4); }
#endif

bool has_avx512vnni() {
  const Flags f = flags();
  return has_avx2() && all(f.state, kZmmState) && all(f.leaf7_b, kF | kDQ | kBW | kVL) && all(f.leaf7_c, 1u << 11);
}

#ifdef CPU2VEC_SIMULATED_ISAS  // in tests, AVX-512 simulates AVX-VNNI, and programs/tiles.h the tile registers
bool has_avxvnni() { return has_avx512vnni(); }
bool has_amx_int8() { return has_avx512vnni(); }
#else
bool has_amx_int8() {
  constexpr unsigned kTileState = 0x60000;
  const Flags f = flags();
  if (!has_avx512vnni() || !all(f.state, kTileState) || !all(f.leaf7_d, (1u << 24) | (1u << 25))) return false;
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, Documentation/arch/x86/xstate
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}
#endif

#elif defined(__aarch64__)
// Documentation/arch/arm64/elf_hwcaps: HWCAP_ASIMDDP and HWCAP2_I8MM
bool has_dot_product() { return getauxval(AT_HWCAP) & (1ul << 20); }
bool has_i8mm() { return has_dot_product() && getauxval(AT_HWCAP2) & (1ul << 13); }
#endif

}  // namespace cpu2vec
