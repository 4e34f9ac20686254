// 128-bit vectors and the product of 8-bit numbers.
#define CPU2VEC_ISA neon_dot
#define CPU2VEC_VECTOR_BYTES 16
#include "simd_kernels.h"
