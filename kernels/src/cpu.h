// Which instruction sets this CPU has and the operating system enables.
#pragma once

namespace cpu2vec {

bool always_available();
#if defined(__x86_64__)
bool has_avx2();         // with FMA
bool has_avxvnni();      // 256-bit VNNI without AVX-512
bool has_avx512vnni();
bool has_amx_int8();     // also requests permission from the operating system to use the tile registers
#elif defined(__aarch64__)
bool has_dot_product();
bool has_i8mm();
#endif

}  // namespace cpu2vec
