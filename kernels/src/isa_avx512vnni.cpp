// 512-bit vectors with an 8-bit dot product.
#define CPU2VEC_ISA avx512vnni
#define CPU2VEC_VECTOR_BYTES 64
#include "simd_kernels.h"
