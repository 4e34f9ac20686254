// 128-bit vectors and the product of 8-bit matrices.
#define CPU2VEC_ISA neon_i8mm
#define CPU2VEC_VECTOR_BYTES 16
#define CPU2VEC_I8MM
#include "simd_kernels.h"
