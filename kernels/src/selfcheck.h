// Checks that an instruction set computes the same as the scalar kernels: faulty CPUs and emulators exist.
#pragma once
#include "kernels.h"

namespace cpu2vec {

bool passes_selfcheck(const Kernels& kernels);

}  // namespace cpu2vec
