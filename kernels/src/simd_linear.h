// Quantization of activations, and the product with a packed weight whose sums stay in registers.
#pragma once
#include "simd_math.h"

namespace cpu2vec {
namespace {

template <bool kSmooth, bool kShift>
INLINE Floats affine(const float* x, const Weight& w, int i, int count) {
  Floats v = load(x + i, count);
  if (kSmooth) v *= load(w.smooth + i, count);
  if (kShift) v -= load(w.shift + i, count);
  return v;
}

INLINE Floats padded_with(Floats v, int count, Floats other) {
  for (int i = count; i < kLanes; ++i) v[i] = other[i];
  return v;
}

// One row, see QuantizedRows. Sums and products are rounded one by one, as the scalar kernel does: the integers are
// the same on all instruction sets with the same number of levels.
template <bool kSmooth, bool kShift>
INLINE void quantize_row(const float* x, const Weight& w, uint8_t* q, size_t stride, float* scale, float* low_out) {
  const Floats first = splat(affine<kSmooth, kShift>(x, w, 0, 1)[0]);
  Floats lows[2] = {first, first}, highs[2] = {first, first}, poison[2] = {splat(0), splat(0)};
  each_vector_of_two(w.k, [&](int i, int count, int chain) {
    Floats v = affine<kSmooth, kShift>(x, w, i, count);
    if (count < kLanes) v = padded_with(v, count, first);
    lows[chain] = min(lows[chain], v);
    highs[chain] = max(highs[chain], v);
    poison[chain] = fma(v, splat(0), poison[chain]);
  });
  const float low = min_of(min(lows[0], lows[1])), range = max_of(max(highs[0], highs[1])) - low;
  const float not_a_number = sum_of(poison[0] + poison[1]) + range * 0;  // or 0
  const bool flat = !(range >= kSmallestRange) || not_a_number != 0;
  *scale = range / kLevels + not_a_number;
  *low_out = low + not_a_number;
  const Floats inverse = splat(flat ? 0 : kLevels / range), start = splat(low);
  const Floats rounder = splat(kRounder);
  each_vector(w.k, [&](int i, int count) {
    const Floats steps = fma(affine<kSmooth, kShift>(x, w, i, count) - start, inverse, rounder);
    const Bytes bytes = __builtin_convertvector(as_ints(steps) - Ints(kActivationOffset), Bytes);
    memcpy(q + i, &bytes, count);
  });
  memset(q + w.k, 0, stride - w.k);
}

void quantize(const float* x, int rows, const Weight& w, const QuantizedRows& to) {
  for (int r = 0; r < rows; ++r, x += w.k) {
    uint8_t* q = to.q + r * to.stride;
    if (w.smooth && w.shift) quantize_row<true, true>(x, w, q, to.stride, to.scale + r, to.low + r);
    else if (w.smooth) quantize_row<true, false>(x, w, q, to.stride, to.scale + r, to.low + r);
    else if (w.shift) quantize_row<false, true>(x, w, q, to.stride, to.scale + r, to.low + r);
    else quantize_row<false, false>(x, w, q, to.stride, to.scale + r, to.low + r);
  }
}

// The scales, sums and biases of the columns of a product, and where it goes.
struct Columns {
  const float* scale;
  const int32_t* sums;
  const float* bias;
  float* y;
  size_t stride;
};

INLINE Floats finished(Ints sums, float scale, float low, const Columns& to, int column) {
  const Floats weight_sums = to_float(load_as<Ints>(to.sums + column));
  const Floats product = fma(splat(low), weight_sums, splat(scale) * to_float(sums));
  return fma(product, load(to.scale + column), load(to.bias + column));
}

// sums[r][v] += rows of 8-bit activations times columns of a packed weight; panels lie `panel` bytes apart.
template <int R, int V>
INLINE void dots(const uint8_t* q, size_t stride, const int8_t* packed, int k, size_t panel, Ints (&sums)[R][V]) {
  for (int i = 0; i < k; ++i) {
    Ints weights[V];
    UNROLL for (int v = 0; v < V; ++v) {
      weights[v] = load_as<Ints>(packed + v / kVectors * panel + (i * kVectors + v % kVectors) * kLanes * kQuad);
    }
    UNROLL for (int r = 0; r < R; ++r) {
      const int32_t a = four_bytes(q + r * stride + i * kQuad);
      UNROLL for (int v = 0; v < V; ++v) sums[r][v] = dot4(sums[r][v], a, weights[v]);
    }
  }
}

template <int R, int P>
INLINE void tile(const QuantizedRows& x, int row, const Weight& w, const int8_t* packed, const Columns& to) {
  constexpr int V = P * kVectors;
  Ints sums[R][V];
  UNROLL for (int v = 0; v < V; ++v) {
    const Ints start = load_as<Ints>(to.sums + v * kLanes) * kActivationOffset;
    UNROLL for (int r = 0; r < R; ++r) sums[r][v] = start;
  }
  const int k = quads(w.k);
  dots<R, V>(x.q + row * x.stride, x.stride, packed, k, (size_t)k * kPanel * kQuad, sums);
  UNROLL for (int v = 0; v < V; ++v) {
    UNROLL for (int r = 0; r < R; ++r) {
      store(to.y + r * to.stride + v * kLanes, finished(sums[r][v], x.scale[row + r], x.low[row + r], to, v * kLanes));
    }
  }
}

template <int P, int R = kRows>
INLINE void tile_of(int rows, const QuantizedRows& x, int row, const Weight& w, const int8_t* packed,
                    const Columns& to) {
  if (rows == R) return tile<R, P>(x, row, w, packed, to);
  if constexpr (R > 1) tile_of<P, R - 1>(rows, x, row, w, packed, to);
}

// P panels for all rows. Rows are split evenly, so that a short last tile never runs alone.
template <int P>
void columns(const QuantizedRows& x, int rows, const Weight& w, int panel, Activation activation, float* y) {
  const int first = panel * kPanel, tiles = (rows + kRows - 1) / kRows;
  const size_t size = (size_t)P * quads(w.k) * kPanel * kQuad;
  const int8_t *packed = w.packed + panel * (size / P), *next = packed + size;
  const size_t ahead = tiles > 1 && first + 2 * P * kPanel <= w.n ? size : 0;
  for (int t = 0; t < tiles; ++t) {
    // PERF: while the rows of a text take turns with these panels, the next ones come nearer; of a few rows, the
    // hardware sees that weights are read in order.
    for (size_t i = ahead * t / tiles; i < ahead * (t + 1) / tiles; i += 64) __builtin_prefetch(next + i, 0, 2);
    const int row = (int)((int64_t)rows * t / tiles), end = (int)((int64_t)rows * (t + 1) / tiles);
    float* corner = y + (size_t)row * w.n + first;
    tile_of<P>(end - row, x, row, w, packed, {w.scale + first, w.sums + first, w.bias + first, corner, (size_t)w.n});
    activate(activation, corner, w.n, end - row, P * kPanel);
  }
}

// The columns of a last panel that is not full, by way of a panel on the stack: product(scratch columns, row, rows).
template <int R, class F>
INLINE void part_panel(int rows, const Weight& w, int panel, Activation activation, float* y, F product) {
  const int first = panel * kPanel, width = w.n - first;
  float scale[kPanel] = {}, bias[kPanel] = {}, scratch[R * kPanel];
  int32_t sums[kPanel] = {};
  for (int i = 0; i < width; ++i) {
    scale[i] = w.scale[first + i];
    bias[i] = w.bias[first + i];
    sums[i] = w.sums[first + i];
  }
  for (int row = 0; row < rows; row += R) {
    const int count = rows - row < R ? rows - row : R;
    product(Columns{scale, sums, bias, scratch, kPanel}, row, count);
    activate(activation, scratch, kPanel, count, kPanel);
    for (int r = 0; r < count; ++r)
      memcpy(y + (size_t)(row + r) * w.n + first, scratch + r * kPanel, width * sizeof(float));
  }
}

#ifndef CPU2VEC_OWN_MATMUL
void matmul(const QuantizedRows& x, int rows, const Weight& w, int begin, int end, Activation activation, float* y) {
  const int full = end * kPanel <= w.n ? end : end - 1;
  int p = begin;
  for (; p + kColumns <= full; p += kColumns) columns<kColumns>(x, rows, w, p, activation, y);
  if constexpr (kColumns > 2)
    for (; p + 2 <= full; p += 2) columns<2>(x, rows, w, p, activation, y);
  for (; p < full; ++p) columns<1>(x, rows, w, p, activation, y);
  if (p == end) return;
  const int8_t* packed = w.packed + (size_t)p * quads(w.k) * kPanel * kQuad;
  part_panel<kRows>(rows, w, p, activation, y, [&](const Columns& to, int row, int count) {
    tile_of<1>(count, x, row, w, packed, to);
  });
}
#endif

#ifdef CPU2VEC_BENCH
double spin(long rounds) {
  constexpr int kChains = kLanes == 8 ? 12 : 20;
  Ints sums[kChains] = {}, weights = Ints(3);
  for (long i = 0; i < rounds; ++i) {
    UNROLL for (int c = 0; c < kChains; ++c) {
#if defined(__x86_64__)
      __asm__ volatile("" : "+x"(weights));  // else the compiler would do once what is the same in all rounds
#else
      __asm__ volatile("" : "+w"(weights));
#endif
      sums[c] = dot4(sums[c], 0x01010101, weights);
    }
  }
  Ints sum = Ints(0);
  for (int c = 0; c < kChains; ++c) sum += sums[c];
  __asm__ volatile("" ::"m"(sum));
  return 2.0 * kChains * kLanes * kQuad * rounds;
}
#endif

}  // namespace
}  // namespace cpu2vec
