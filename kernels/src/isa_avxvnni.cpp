// 256-bit vectors with an 8-bit dot product.
#define CPU2VEC_ISA avxvnni
#define CPU2VEC_VECTOR_BYTES 32
#include "simd_kernels.h"
