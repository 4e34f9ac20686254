// The product on Intel's tile registers: 32 rows by 32 columns at a time. A packed panel is a tile of weights as it
// lies: 16 rows of 16 columns x 4 input channels.
#pragma once
#define CPU2VEC_OWN_MATMUL
#include "simd_linear.h"

namespace cpu2vec {
namespace {

constexpr int kTileRows = 16, kTileBytes = 64;

// Intel's manual, volume 1, section 18.1: palette 1, and for each tile its bytes per row and its rows.
struct alignas(64) TileShapes {
  uint8_t palette = 1, start = 0, reserved[14] = {};
  uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// The tiles of a panel's weights, 64 input channels each; what is past the last channel is zero.
struct Panel {
  const int8_t* packed;
  int full;  // tiles that are whole
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

// The sums of 32 rows from `row` on and of two panels.
INLINE void tiles(const QuantizedRows& x, int row, bool two, const Panel& left, const Panel& right, int count,
                  int32_t (&sums)[32][32]) {
  const uint8_t *upper = x.q + (size_t)row * x.stride, *lower = upper + kTileRows * x.stride;
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int i = 0; i < count; ++i) {
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

void matmul(const QuantizedRows& x, int rows, const Weight& w, int begin, int end, Activation activation, float* y) {
  alignas(64) int32_t sums[32][32];
  alignas(64) static const TileShapes shapes;
  __asm__ volatile("" ::"m"(shapes));  // NOTE: a compiler has been seen to load it before it was written
  _tile_loadconfig(&shapes);
  const int count = (quads(w.k) + kTileRows - 1) / kTileRows, full = end * kPanel <= w.n ? end : end - 1;
  for (int p = begin; p < end; p += 2) {
    const Panel left(w, p), right(w, p + 1 < end ? p + 1 : p);
    for (int row = 0; row < rows; row += 32) {
      const int some = rows - row < 32 ? rows - row : 32;
      tiles(x, row, some > kTileRows, left, right, count, sums);
      for (int v = 0; v < 2 && p + v < full; ++v) {
        const int first = (p + v) * kPanel;
        const Columns to = {w.scale + first, w.sums + first, w.bias + first, y + (size_t)row * w.n + first, (size_t)w.n};
        for (int r = 0; r < some; ++r)
          store(to.y + r * to.stride, finished(load_as<Ints>(sums[r] + v * kPanel), x.scale[row + r], x.low[row + r],
                                               to, 0));
        activate(activation, to.y, to.stride, some, kPanel);
      }
    }
  }
  if (full < end) {
    const Panel last(w, full);
    part_panel<32>(rows, w, full, activation, y, [&](const Columns& to, int row, int some) {
      tiles(x, row, some > kTileRows, last, last, count, sums);
      for (int r = 0; r < some; ++r)
        store(to.y + r * to.stride, finished(load_as<Ints>(sums[r]), x.scale[row + r], x.low[row + r], to, 0));
    });
  }
  _tile_release();
}

}  // namespace
}  // namespace cpu2vec
