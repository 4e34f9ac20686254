// The product with ARM's matrix instructions: 2 rows x 2 columns x 8 input channels at a time. Two quads of a panel are
// zipped into columns of 8 channels on the fly.
#pragma once
#define CPU2VEC_OWN_MATMUL
#include "simd_linear.h"

namespace cpu2vec {
namespace {

constexpr int kTileRows = 8;

// Computes the sums of 8 rows of `q` and of one panel over k quads, without the activations' offset.
INLINE void tile8(const uint8_t* q, size_t stride, const int8_t* packed, int k, int32_t (&sums)[kTileRows][kPanel]) {
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
        const int8_t* two = reinterpret_cast<const int8_t*>(q) + 2 * r * stride + i * kQuad;
        const int8x16_t a = vcombine_s8(vld1_s8(two), vld1_s8(two + stride));
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

void matmul(const QuantizedRows& x, int rows, const Weight& w, int begin, int end, Activation activation,
            Rows<float> y) {
  const size_t size = (size_t)quads(w.k) * kPanel * kQuad;
  int32_t sums[kTileRows][kPanel];
  for (int p = begin; p < end; ++p) {
    const int columns = w.n - p * kPanel;
    for (int row = 0; row < rows; row += kTileRows) {
      const int some = rows - row < kTileRows ? rows - row : kTileRows;
      const Rows<float> corner = {y.data + row * y.stride + (p - begin) * kPanel, y.stride};
      for (int g = 0; g < groups(w.k); ++g) {
        const int first = g * group_width(w.k), k = quads(group_end(w.k, g) - first);
        tile8(x.q + row * x.stride + first, x.stride, w.packed + p * size + (size_t)first * kPanel, k, sums);
        add_group(x, row, some, w, g, p, sums[0], kPanel, corner);
      }
      activate(activation, corner.data, corner.stride, some, columns < kPanel ? columns : kPanel);
    }
  }
}

}  // namespace
}  // namespace cpu2vec
