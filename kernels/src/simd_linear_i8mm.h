// The product on ARM's matrix instructions: 2 rows x 2 columns x 8 input channels at a time. Two quads of a panel are
// zipped into columns of 8 channels on the fly.
#pragma once
#define CPU2VEC_OWN_MATMUL
#include "simd_linear.h"

namespace cpu2vec {
namespace {

constexpr int kTileRows = 8;

// Sums of 8 rows from `row` on, and of one panel; without what the activations' offset adds.
INLINE void tile8(const QuantizedRows& x, int row, const int8_t* packed, int k, int32_t (&sums)[kTileRows][kPanel]) {
  for (int half = 0; half < 2; ++half) {  // 8 columns at a time, so that the sums fit into the registers
    int32x4_t acc[4][4];
    UNROLL for (int r = 0; r < 4; ++r) {
      UNROLL for (int v = 0; v < 4; ++v) acc[r][v] = vdupq_n_s32(0);
    }
    for (int i = 0; i < k; i += 2) {
      int8x16_t weights[4];
      UNROLL for (int v = 0; v < 2; ++v) {
        const int8_t* from = packed + i * kPanel * kQuad + half * 32 + v * 16;
        const int32x4_t low = vreinterpretq_s32_s8(vld1q_s8(from));
        const int32x4_t high = i + 1 < k ? vreinterpretq_s32_s8(vld1q_s8(from + kPanel * kQuad)) : vdupq_n_s32(0);
        weights[2 * v] = vreinterpretq_s8_s32(vzip1q_s32(low, high));
        weights[2 * v + 1] = vreinterpretq_s8_s32(vzip2q_s32(low, high));
      }
      UNROLL for (int r = 0; r < 4; ++r) {
        const int8_t* q = reinterpret_cast<const int8_t*>(x.q) + (row + 2 * r) * x.stride + i * kQuad;
        const int8x16_t a = vcombine_s8(vld1_s8(q), vld1_s8(q + x.stride));
        UNROLL for (int v = 0; v < 4; ++v) acc[r][v] = vmmlaq_s32(acc[r][v], a, weights[v]);
      }
    }
    UNROLL for (int r = 0; r < 4; ++r) {
      UNROLL for (int v = 0; v < 4; ++v) {
        vst1_s32(&sums[2 * r][half * 8 + v * 2], vget_low_s32(acc[r][v]));
        vst1_s32(&sums[2 * r + 1][half * 8 + v * 2], vget_high_s32(acc[r][v]));
      }
    }
  }
}

INLINE void finish_tile(const QuantizedRows& x, int row, int rows, const int32_t (&sums)[kTileRows][kPanel],
                        const Columns& to) {
  for (int r = 0; r < rows; ++r)
    for (int v = 0; v < kPanel; v += kLanes) {
      const Ints offset = load_as<Ints>(to.sums + v) * kActivationOffset;
      store(to.y + r * to.stride + v,
            finished(load_as<Ints>(&sums[r][v]) + offset, x.scale[row + r], x.low[row + r], to, v));
    }
}

void matmul(const QuantizedRows& x, int rows, const Weight& w, int begin, int end, Activation activation, float* y) {
  const int k = quads(w.k);
  int32_t sums[kTileRows][kPanel];
  for (int p = begin; p < end; ++p) {
    const int first = p * kPanel;
    const int8_t* packed = w.packed + (size_t)first * k * kQuad;
    if (first + kPanel > w.n) {
      part_panel<kTileRows>(rows, w, p, activation, y, [&](const Columns& to, int row, int some) {
        tile8(x, row, packed, k, sums);
        finish_tile(x, row, some, sums, to);
      });
      continue;
    }
    for (int row = 0; row < rows; row += kTileRows) {
      const int some = rows - row < kTileRows ? rows - row : kTileRows;
      float* corner = y + (size_t)row * w.n + first;
      tile8(x, row, packed, k, sums);
      finish_tile(x, row, some, sums, {w.scale + first, w.sums + first, w.bias + first, corner, (size_t)w.n});
      activate(activation, corner, w.n, some, kPanel);
    }
  }
}

}  // namespace
}  // namespace cpu2vec
