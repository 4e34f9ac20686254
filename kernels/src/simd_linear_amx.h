// The product on Intel's tile registers: 32 rows by 32 columns at a time. A packed panel has the layout of tiles of
// weights: 16 rows of 16 columns x 4 input channels.
#pragma once
#define CPU2VEC_OWN_MATMUL
#include "simd_linear.h"

namespace cpu2vec {
namespace {

constexpr int kTileRows = 16, kTileBytes = 64;

// See Intel's manual, volume 1, section 18.1: palette 1, with bytes per row and rows of each tile.
struct alignas(64) TileShapes {
  uint8_t palette = 1, start = 0, reserved[14] = {};
  uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// The tiles of a panel's weights, 64 input channels each, padded with zeros.
struct Panel {
  const int8_t* packed;
  int full;  // the number of complete tiles
  alignas(64) int8_t rest[kTileRows * kTileBytes];

  Panel(const Weight& w, int panel) {
    const size_t size = (size_t)quads(w.k) * kPanel * kQuad;
    packed = w.packed + panel * size;
    full = quads(w.k) / kTileRows;
    const size_t whole = (size_t)full * sizeof rest;
    memset(rest, 0, sizeof rest);
    memcpy(rest, packed + whole, size - whole);
  }
  const int8_t* tile(int i) const { return i < full ? packed + i * sizeof rest : rest; }
};

// Computes the sums over tiles [begin, end) of 32 rows, from `row` on, and of two panels.
INLINE void tiles(const QuantizedRows& x, int row, bool two, const Panel& left, const Panel& right, int begin, int end,
                  int32_t (&sums)[32][32]) {
  const uint8_t *upper = x.q + (size_t)row * x.stride, *lower = upper + kTileRows * x.stride;
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int i = begin; i < end; ++i) {
    _tile_loadd(4, upper + i * kTileBytes, x.stride);
    _tile_loadd(6, left.tile(i), kTileBytes);
    _tile_dpbusd(0, 4, 6);
    _tile_loadd(7, right.tile(i), kTileBytes);
    _tile_dpbusd(1, 4, 7);
    if (!two) continue;
    _tile_loadd(5, lower + i * kTileBytes, x.stride);
    _tile_dpbusd(2, 5, 6);
    _tile_dpbusd(3, 5, 7);
  }
  _tile_stored(0, sums[0], sizeof sums[0]);
  _tile_stored(1, sums[0] + kPanel, sizeof sums[0]);
  if (!two) return;
  _tile_stored(2, sums[kTileRows], sizeof sums[0]);
  _tile_stored(3, sums[kTileRows] + kPanel, sizeof sums[0]);
}

void matmul(const QuantizedRows& x, int rows, const Weight& w, int begin, int end, Activation activation,
            Rows<float> y) {
  alignas(64) int32_t sums[32][32];
  alignas(64) static const TileShapes shapes;
  __asm__ volatile("" ::"m"(shapes));  // NOTE: keeps the compiler from loading the shapes before they are written
  _tile_loadconfig(&shapes);
  for (int p = begin; p < end; p += 2) {
    const int both = p + 1 < end ? 2 : 1;
    const Panel left(w, p), right(w, p + both - 1);
    for (int row = 0; row < rows; row += 32) {
      const int some = rows - row < 32 ? rows - row : 32;
      const Rows<float> corner = {y.data + row * y.stride + (p - begin) * kPanel, y.stride};
      for (int g = 0; g < groups(w.k); ++g) {
        const int first = g * group_width(w.k) / kTileBytes, last = (group_end(w.k, g) + kTileBytes - 1) / kTileBytes;
        tiles(x, row, some > kTileRows, left, right, first, last, sums);
        for (int v = 0; v < both; ++v)
          add_group(x, row, some, w, g, p + v, &sums[0][v * kPanel], 32, {corner.data + v * kPanel, corner.stride});
      }
      const int columns = w.n - p * kPanel;
      activate(activation, corner.data, corner.stride, some, columns < both * kPanel ? columns : both * kPanel);
    }
  }
  _tile_release();
}

}  // namespace
}  // namespace cpu2vec
