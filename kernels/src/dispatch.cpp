#include "dispatch.h"

#include <cstring>

#include "cpu.h"
#include "selfcheck.h"

namespace cpu2vec {

#if defined(__x86_64__)
extern const Kernels kernels_amx, kernels_avx512vnni, kernels_avxvnni, kernels_avx2;
#elif defined(__aarch64__)
extern const Kernels kernels_neon_i8mm, kernels_neon_dot;
#endif

namespace {

struct Row {
  const Kernels& kernels;
  bool (*present)();
};

// Best first. A new instruction set is a row here, a file isa_<name>.cpp, and its flags in build/kernels.py.
const Row kTable[] = {
#if defined(__x86_64__)
    {kernels_amx, has_amx_int8},
    {kernels_avx512vnni, has_avx512vnni},
    {kernels_avxvnni, has_avxvnni},
    {kernels_avx2, has_avx2},
#elif defined(__aarch64__)
    {kernels_neon_i8mm, has_i8mm},
    {kernels_neon_dot, has_dot_product},
#endif
    {kScalar, always_available},
};
constexpr int kTableSize = sizeof kTable / sizeof *kTable;

struct Choice {
  const Kernels* usable[kTableSize];
  int count;
  char names[128];
};
Choice choice;

// Collects the instruction sets that this CPU has and that pass the self-check. Takes milliseconds.
__attribute__((constructor)) void choose() {
  for (const Row& row : kTable) {
    if (!row.present() || !passes_selfcheck(row.kernels)) continue;
    choice.usable[choice.count++] = &row.kernels;
    if (choice.names[0]) strcat(choice.names, ",");
    strcat(choice.names, row.kernels.name);
  }
}

}  // namespace

const Kernels& chosen() { return *choice.usable[0]; }

const Kernels* usable(const char* name) {
  for (int i = 0; i < choice.count; ++i)
    if (!strcmp(choice.usable[i]->name, name)) return choice.usable[i];
  return nullptr;
}

const char* usable_names() { return choice.names; }

}  // namespace cpu2vec
