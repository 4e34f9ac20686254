// The product on Intel's tile registers: 32 rows by 32 columns at a time. A packed panel has the layout of tiles of
// weights: 16 rows of 16 columns x 4 input channels.
#pragma once
#define CPU2VEC_OWN_MATMUL
#define CPU2VEC_OWN_SPIN
#include "simd_linear.h"

namespace cpu2vec {
namespace {

constexpr int kTileRows = 16, kTileBytes = 64, kBlockOfRows = 2 * kTileRows;

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
    if (whole == size) return;
    memset(rest, 0, sizeof rest);
    memcpy(rest, packed + whole, size - whole);
  }
  const int8_t* tile(int i) const { return i < full ? packed + i * sizeof rest : rest; }
};

// Rows are multiplied with all columns in turn, as many rows at a time as leave room for weights in the L1 cache.
constexpr int kBytesOfRows = 24 * 1024;

INLINE int rows_at_a_time(size_t stride) {
  const int blocks = (int)(kBytesOfRows / (stride * kBlockOfRows));
  return (blocks > 1 ? blocks : 1) * kBlockOfRows;
}

INLINE void use_tiles() {
  alignas(64) static const TileShapes shapes;
  __asm__ volatile("" ::"m"(shapes));  // NOTE: keeps the compiler from loading the shapes before they are written
  _tile_loadconfig(&shapes);
}

// 32 rows, from `row` on, by two panels, from `panel` on. The last rows and the second panel may be missing.
struct Block {
  int row, rows, panel, panels;
  Rows<float> y;  // begins with the block's first row and column
};

// Adds one tile of input channels to the sums in tile registers 0 to 3.
template <bool kLower>
INLINE void multiply_tile(const uint8_t* upper, const uint8_t* lower, size_t stride, const int8_t* left,
                          const int8_t* right) {
  _tile_loadd(4, upper, stride);
  _tile_loadd(6, left, kTileBytes);
  _tile_loadd(7, right, kTileBytes);
  _tile_dpbusd(0, 4, 6);
  _tile_dpbusd(1, 4, 7);
  if (!kLower) return;
  _tile_loadd(5, lower, stride);
  _tile_dpbusd(2, 5, 6);
  _tile_dpbusd(3, 5, 7);
}

// Sums up tiles [begin, end) of input channels, over 16 rows or, with the lower ones, over 32.
// PERF: a function of its own, in which addresses stay in registers.
template <bool kLower>
__attribute__((noinline)) void multiply(const uint8_t* upper, size_t stride, const Panel& left, const Panel& right,
                                        int begin, int end) {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  const uint8_t* lower = upper + kTileRows * stride;
  const int full = end < left.full ? end : left.full;
  const int8_t *a = left.tile(begin), *b = right.tile(begin);
  int i = begin;
  for (; i < full; ++i, upper += kTileBytes, lower += kTileBytes, a += sizeof left.rest, b += sizeof left.rest)
    multiply_tile<kLower>(upper, lower, stride, a, b);
  if (i < end) multiply_tile<kLower>(upper, lower, stride, left.rest, right.rest);
}

INLINE void store_sums(bool lower, int32_t (&sums)[kBlockOfRows][2 * kPanel]) {
  _tile_stored(0, sums[0], sizeof sums[0]);
  _tile_stored(1, sums[0] + kPanel, sizeof sums[0]);
  if (!lower) return;
  _tile_stored(2, sums[kTileRows], sizeof sums[0]);
  _tile_stored(3, sums[kTileRows] + kPanel, sizeof sums[0]);
}

// Rows of floats and of sums that are combined, and the scales of the rows: pointers to the first of each.
struct Epilogue {
  const float *scale, *low;
  size_t groups;  // scales from row to row
  const int32_t* sums;
  Rows<const float> before;
  Rows<float> y;
};

// Adds the sums of one group to two whole panels, as `add_group` does to one.
INLINE void add_to_panels(Epilogue e, int rows, const GroupOfColumns& left, const GroupOfColumns& right) {
  const Floats left_sums = to_float(left.sums), right_sums = to_float(right.sums);
  for (int r = 0; r < rows; ++r) {
    const Floats scale = splat(*e.scale), low = splat(*e.low);
    const auto product = [&](int column, Floats sums, Floats of_columns) {
      const Floats of = to_float(load_as<Ints>(e.sums + column));
      return fma(fma(low, sums, scale * of), of_columns, load(e.before.data + column));
    };
    const Floats first = product(0, left_sums, left.scale), second = product(kPanel, right_sums, right.scale);
    store(e.y.data, first);
    store(e.y.data + kPanel, second);
    e.scale += e.groups, e.low += e.groups, e.sums += 2 * kPanel;
    e.before.data += e.before.stride, e.y.data += e.y.stride;
  }
}

// Adds the sums to the product, and completes the product after the last group.
INLINE void finish(const QuantizedRows& x, const Weight& w, Activation activation, const Block& b, int group,
                   const int32_t (&sums)[kBlockOfRows][2 * kPanel]) {
  const int first = b.panel * kPanel, all = groups(w.k), columns = w.n - first;
  if (b.panels == 2 && columns >= 2 * kPanel) {
    const size_t index = (size_t)b.row * all + group;
    const float* before = group ? b.y.data : w.bias + first;
    add_to_panels({x.scale + index, x.low + index, (size_t)all, sums[0], {before, group ? b.y.stride : 0}, b.y},
                  b.rows, {w, group, first, kLanes}, {w, group, first + kPanel, kLanes});
  } else {
    for (int p = 0; p < b.panels; ++p)
      add_group(x, b.row, b.rows, w, group, b.panel + p, &sums[0][p * kPanel], 2 * kPanel,
                {b.y.data + p * kPanel, b.y.stride});
  }
  if (group + 1 < all) return;
  activate(activation, b.y.data, b.y.stride, b.rows, columns < b.panels * kPanel ? columns : b.panels * kPanel);
}

void matmul(const QuantizedRows& x, int rows, const Weight& w, int begin, int end, Activation activation,
            Rows<float> y) {
  alignas(64) int32_t sums[kBlockOfRows][2 * kPanel];
  const int at_a_time = rows_at_a_time(x.stride);
  Block before = {};
  int group = 0;
  use_tiles();
  // PERF: the tile unit computes the next sums while the vector units work on the last ones.
  for (int start = 0; start < rows; start += at_a_time) {
    const int stop = rows - start < at_a_time ? rows : start + at_a_time;
    for (int p = begin; p < end; p += 2) {
      const int both = p + 1 < end ? 2 : 1;
      const Panel left(w, p), right(w, p + both - 1);
      for (int row = start; row < stop; row += kBlockOfRows) {
        const int some = stop - row < kBlockOfRows ? stop - row : kBlockOfRows;
        const Block block = {row, some, p, both, {y.data + row * y.stride + (p - begin) * kPanel, y.stride}};
        for (int g = 0; g < groups(w.k); ++g) {
          const int from = g * group_width(w.k) / kTileBytes, to = (group_end(w.k, g) + kTileBytes - 1) / kTileBytes;
          const uint8_t* q = x.q + row * x.stride + from * kTileBytes;
          if (some > kTileRows) multiply<true>(q, x.stride, left, right, from, to);
          else multiply<false>(q, x.stride, left, right, from, to);
          if (before.rows) finish(x, w, activation, before, group, sums);
          store_sums(some > kTileRows, sums);
          before = block, group = g;
        }
      }
    }
  }
  if (before.rows) finish(x, w, activation, before, group, sums);
  _tile_release();
}

#ifdef CPU2VEC_BENCH
// Six tiles of sums, so that no product waits for the one before it.
double spin(long rounds) {
  use_tiles();
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
  _tile_zero(6);
  _tile_zero(7);
  for (long i = 0; i < rounds; ++i) {
    _tile_dpbusd(0, 6, 7);
    _tile_dpbusd(1, 6, 7);
    _tile_dpbusd(2, 6, 7);
    _tile_dpbusd(3, 6, 7);
    _tile_dpbusd(4, 6, 7);
    _tile_dpbusd(5, 6, 7);
  }
  _tile_release();
  return 6 * 2.0 * kTileRows * kPanel * kTileBytes * (double)rounds;
}
#endif

}  // namespace
}  // namespace cpu2vec
