// Whether an instruction set computes what the scalar kernels do: a CPU that errs is not trusted with vectors.
#pragma once
#include "kernels.h"

namespace cpu2vec {

bool passes_selfcheck(const Kernels& kernels);

}  // namespace cpu2vec
