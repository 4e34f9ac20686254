// AVX-512 for floats, tile registers for products of 8-bit numbers.
#define CPU2VEC_ISA amx
#define CPU2VEC_VECTOR_BYTES 64
#define CPU2VEC_AMX
#include "simd_kernels.h"
