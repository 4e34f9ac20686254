// 128-bit vectors with an 8-bit dot product.
#define CPU2VEC_ISA neon_dot
#define CPU2VEC_VECTOR_BYTES 16
#include "simd_kernels.h"
