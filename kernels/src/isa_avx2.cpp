// 256-bit vectors; the 8-bit product saturates.
#define CPU2VEC_ISA avx2
#define CPU2VEC_VECTOR_BYTES 32
#include "simd_kernels.h"
