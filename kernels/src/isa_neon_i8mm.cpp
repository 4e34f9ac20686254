// 128-bit vectors with an 8-bit matrix product.
#define CPU2VEC_ISA neon_i8mm
#define CPU2VEC_VECTOR_BYTES 16
#define CPU2VEC_I8MM
#include "simd_kernels.h"
