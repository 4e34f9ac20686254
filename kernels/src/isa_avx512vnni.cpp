// 512-bit vectors and the product of 8-bit numbers.
#define CPU2VEC_ISA avx512vnni
#define CPU2VEC_VECTOR_BYTES 64
#include "simd_kernels.h"
