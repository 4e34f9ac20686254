// AVX-512 for floats, tile registers for 8-bit products.
#define CPU2VEC_ISA amx
#define CPU2VEC_VECTOR_BYTES 64
#define CPU2VEC_AMX
#include "simd_kernels.h"
