// Tile registers in plain code, to test the AMX kernels on CPUs without them; included before isa_amx.cpp. Tiles always
// have 16 rows of 64 bytes, the only shape that the kernels configure.
#pragma once
#include <immintrin.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace {

struct Tile {
  uint8_t bytes[16][64];
};
thread_local Tile tile_registers[8];

// What a faulty CPU, which a variable of the environment simulates, adds to every sum. Constructors ask for it.
inline int32_t tile_fault() {
  static const int32_t fault = getenv("CPU2VEC_WRONG_TILES") ? 1000 : 0;
  return fault;
}

inline void load_tile(int to, const void* from, size_t stride) {
  for (int r = 0; r < 16; ++r) memcpy(tile_registers[to].bytes[r], static_cast<const char*>(from) + r * stride, 64);
}

inline void store_tile(int from, void* to, size_t stride) {
  for (int r = 0; r < 16; ++r) memcpy(static_cast<char*>(to) + r * stride, tile_registers[from].bytes[r], 64);
}

// See TDPBUSD in Intel's manual: unsigned bytes of `a` times signed bytes of `b`.
inline void multiply_tiles(int to, int a, int b) {
  for (int r = 0; r < 16; ++r)
    for (int c = 0; c < 16; ++c) {
      int32_t sum;
      memcpy(&sum, tile_registers[to].bytes[r] + 4 * c, 4);
      sum += tile_fault();
      for (int k = 0; k < 64; ++k)
        sum += tile_registers[a].bytes[r][k] * (int8_t)tile_registers[b].bytes[k / 4][4 * c + k % 4];
      memcpy(tile_registers[to].bytes[r] + 4 * c, &sum, 4);
    }
}

}  // namespace

#undef _tile_zero
#undef _tile_loadd
#undef _tile_stored
#undef _tile_dpbusd
#define _tile_loadconfig(shapes) (void)(shapes)
#define _tile_release() (void)0
#define _tile_zero(tile) memset(&tile_registers[tile], 0, sizeof(Tile))
#define _tile_loadd(tile, from, stride) load_tile(tile, from, stride)
#define _tile_stored(tile, to, stride) store_tile(tile, to, stride)
#define _tile_dpbusd(to, a, b) multiply_tiles(to, a, b)
