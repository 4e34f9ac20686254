// 256-bit vectors; no product of 8-bit numbers that does not saturate.
#define CPU2VEC_ISA avx2
#define CPU2VEC_VECTOR_BYTES 32
#include "simd_kernels.h"
