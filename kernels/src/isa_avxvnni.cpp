// 256-bit vectors and the product of 8-bit numbers.
#define CPU2VEC_ISA avxvnni
#define CPU2VEC_VECTOR_BYTES 32
#include "simd_kernels.h"
