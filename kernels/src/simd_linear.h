// Quantization of activations, and their product with a packed weight, whose sums stay in registers.
#pragma once
#include "simd_dots.h"
#include "simd_math.h"

namespace cpu2vec {
namespace {

template <bool kSmooth, bool kShift>
INLINE Floats affine(const float* x, const float* smooth, const float* shift, int i, int count) {
  Floats v = load(x + i, count);
  if (kSmooth) v *= load(smooth + i, count);
  if (kShift) v -= load(shift + i, count);
  return v;
}

INLINE Floats padded_with(Floats v, int count, Floats other) {
  for (int i = count; i < kLanes; ++i) v[i] = other[i];
  return v;
}

// Quantizes one group of a row, see QuantizedRows: `x`, smooth and shift begin with the group's first channel. Every
// sum and product is rounded separately, as in the scalar kernel, so that all instruction sets compute the same integers.
template <bool kSmooth, bool kShift>
INLINE void quantize_row(const float* x, int width, const float* smooth, const float* shift, uint8_t* q, float* scale,
                         float* low_out, int32_t* missing_out) {
  const auto value = [&](int i, int count) { return affine<kSmooth, kShift>(x, smooth, shift, i, count); };
  const Floats first = splat(value(0, 1)[0]);
  Floats lows[2] = {first, first}, highs[2] = {first, first}, poison[2] = {splat(0), splat(0)};
  each_vector_of_two(width, [&](int i, int count, int chain) {
    Floats v = value(i, count);
    if (count < kLanes) v = padded_with(v, count, first);
    lows[chain] = min(lows[chain], v);
    highs[chain] = max(highs[chain], v);
    poison[chain] = fma(v, splat(0), poison[chain]);
  });
  const float low = min_of(min(lows[0], lows[1])), range = max_of(max(highs[0], highs[1])) - low;
  const float not_a_number = sum_of(poison[0] + poison[1]) + range * 0;  // NaN or 0
  const bool flat = !(range >= kSmallestRange) || not_a_number != 0;
  *scale = range / kLevels + not_a_number;
  *low_out = low + not_a_number;
  const Floats inverse = splat(flat ? 0 : kLevels / range), start = splat(low);
  const Floats rounder = splat(kRounder);
  Ints not_in_sums = Ints(0);
  each_vector(width, [&](int i, int count) {
    const Floats steps = fma(value(i, count) - start, inverse, rounder);
    Ints values = as_ints(steps) - as_ints(rounder) - Ints(kActivationOffset);
    for (int lane = count; lane < kLanes; ++lane) values[lane] = 0;
    store_activations(q + i * kActivationBytes, values);
    not_in_sums += missing(values);
  });
  if (kActivationBytes > 1) {
    uint32_t total = 0;  // unsigned, because activations of a row that is not finite may have any value
    for (int lane = 0; lane < kLanes; ++lane) total += (uint32_t)not_in_sums[lane];
    *missing_out = (int32_t)total;
  }
}

template <bool kSmooth, bool kShift>
void quantize_rows(Rows<const float> x, int rows, const Weight& w, int group, const QuantizedRows& to) {
  const int begin = group * group_width(w.k), end = group_end(w.k, group);
  for (int r = 0; r < rows; ++r) {
    const size_t index = (size_t)r * groups(w.k) + group;
    uint8_t* row = to.q + r * to.stride;
    quantize_row<kSmooth, kShift>(x.data + r * x.stride, end - begin, kSmooth ? w.smooth + begin : nullptr,
                                  kShift ? w.shift + begin : nullptr, row + begin * kActivationBytes,
                                  to.scale + index, to.low + index, to.missing + index);
    const size_t written = round_up(end, kLanes) * kActivationBytes;
    if (end == w.k) memset(row + written, 0, to.stride - written);
  }
}

void quantize(Rows<const float> x, int rows, const Weight& w, int group, const QuantizedRows& to) {
  if (w.smooth && w.shift) quantize_rows<true, true>(x, rows, w, group, to);
  else if (w.smooth) quantize_rows<true, false>(x, rows, w, group, to);
  else if (w.shift) quantize_rows<false, true>(x, rows, w, group, to);
  else quantize_rows<false, false>(x, rows, w, group, to);
}

// The sums and scales with which one group of input channels adds to a vector of output channels.
struct GroupOfColumns {
  GroupOfColumns(const Weight& w, int group, int column, int count)
      : sums(load(w.sums + (size_t)group * w.n + column, count)),
        scale(load(w.scale + (size_t)group * w.n + column, count)) {}
  Ints start() const { return sums * kActivationOffset; }
  Floats add_to(Floats product, Ints of, float row_scale, float low) const {
    return fma(fma(splat(low), to_float(sums), splat(row_scale) * to_float(of)), scale, product);
  }
  Ints sums;
  Floats scale;
};

INLINE int lanes_of(int columns) { return columns >= kLanes ? kLanes : columns < 0 ? 0 : columns; }

// Adds one group's products to `y`, or to the bias for the first group. `sums` holds the integer sums of some rows,
// from `row` on, and of a panel, in rows of `stride`; they do not include the activations' offset.
INLINE void add_group(const QuantizedRows& x, int row, int rows, const Weight& w, int group, int panel,
                      const int32_t* sums, size_t stride, Rows<float> y) {
  const int first = panel * kPanel, all = groups(w.k);
  const float *scale = x.scale + (size_t)row * all + group, *low = x.low + (size_t)row * all + group;
  const Rows<const float> before = group ? Rows<const float>{y.data, y.stride} : Rows<const float>{w.bias + first, 0};
  for (int v = 0; v < kPanel; v += kLanes) {
    const int count = lanes_of(w.n - first - v);
    const GroupOfColumns columns(w, group, first + v, count);
    for (int r = 0; r < rows; ++r) {
      const Floats product = load(before.data + r * before.stride + v, count);
      const Ints of = load_as<Ints>(sums + r * stride + v) + columns.start();
      store(y.data + r * y.stride + v, columns.add_to(product, of, scale[r * all], low[r * all]), count);
    }
  }
}

// Computes R rows, from `row` on, by P panels, from `panel` on; the last panel may be partial.
template <int R, int P>
INLINE void tile(const QuantizedRows& x, int row, const Weight& w, int panel, const Ahead& ahead, Rows<float> y) {
  constexpr int V = P * kVectors;
  const int first = panel * kPanel, all = groups(w.k);
  const auto count = [&](int v) { return P > 1 ? kLanes : lanes_of(w.n - first - v * kLanes); };
  const size_t size = (size_t)quads(w.k) * kPanel * kQuad;
  // PERF: otherwise stores to cold lines would delay all later stores.
  for (int r = 0; r < R; ++r)
    UNROLL for (int p = 0; p < P; ++p) __builtin_prefetch(y.data + r * y.stride + p * kPanel, 1);
  Floats products[R][V];
  UNROLL for (int v = 0; v < V; ++v) {
    const Floats bias = load(w.bias + first + v * kLanes, count(v));
    UNROLL for (int r = 0; r < R; ++r) products[r][v] = bias;
  }
  for (int g = 0; g < all; ++g) {
    const int begin = g * group_width(w.k), k = quads(group_end(w.k, g) - begin);
    const size_t offset = (size_t)begin * kPanel;
    Ints sums[R][V];
    UNROLL for (int v = 0; v < V; ++v) {
      const Ints start = kActivationOffset ? GroupOfColumns(w, g, first + v * kLanes, count(v)).start() : Ints(0);
      UNROLL for (int r = 0; r < R; ++r) {
        sums[r][v] = kActivationBytes > 1 ? start + x.missing[(row + r) * all + g] : start;
      }
    }
    dots_and_prefetch<P>(x.q + row * x.stride + begin * kActivationBytes, x.stride, w.packed + panel * size + offset, k, size, sums,
                         {ahead.packed + offset, ahead.panels});
    const float *scale = x.scale + (size_t)row * all + g, *low = x.low + (size_t)row * all + g;
    UNROLL for (int v = 0; v < V; ++v) {
      const GroupOfColumns columns(w, g, first + v * kLanes, count(v));
      UNROLL for (int r = 0; r < R; ++r) {
        const Floats product = columns.add_to(products[r][v], sums[r][v], scale[r * all], low[r * all]);
        if (g + 1 < all) products[r][v] = product;
        else store(y.data + r * y.stride + v * kLanes, product, count(v));
      }
    }
  }
}

template <int P, int R = kRows>
INLINE void tile_of(int rows, const QuantizedRows& x, int row, const Weight& w, int panel, const Ahead& ahead,
                    Rows<float> y) {
  if (rows == R) return tile<R, P>(x, row, w, panel, ahead, y);
  if constexpr (R > 1) tile_of<P, R - 1>(rows, x, row, w, panel, ahead, y);
}

// Computes P panels for all rows. Rows are divided evenly, so that no tile is much shorter than the others.
template <int P>
void columns(const QuantizedRows& x, int rows, const Weight& w, int panel, Activation activation, Rows<float> y) {
  const int tiles = (rows + kRows - 1) / kRows, width = w.n - panel * kPanel;
  const size_t size = (size_t)quads(w.k) * kPanel * kQuad;
  const int left = panels(w.n) - panel - P, next = left < P ? left : P;
  for (int t = 0; t < tiles; ++t) {
    const int row = (int)((int64_t)rows * t / tiles), end = (int)((int64_t)rows * (t + 1) / tiles);
    const int share = (int)((int64_t)next * t / tiles), share_end = (int)((int64_t)next * (t + 1) / tiles);
    const Rows<float> corner = {y.data + row * y.stride, y.stride};
    tile_of<P>(end - row, x, row, w, panel, {w.packed + (panel + P + share) * size, share_end - share}, corner);
    activate(activation, corner.data, corner.stride, end - row, width < P * kPanel ? width : P * kPanel);
  }
}

#ifndef CPU2VEC_OWN_MATMUL
void matmul(const QuantizedRows& x, int rows, const Weight& w, int begin, int end, Activation activation,
            Rows<float> y) {
  const int full = end * kPanel <= w.n ? end : end - 1;
  const auto from = [&](int p) { return Rows<float>{y.data + (p - begin) * kPanel, y.stride}; };
  int p = begin;
  for (; p + kColumns <= full; p += kColumns) columns<kColumns>(x, rows, w, p, activation, from(p));
  if constexpr (kColumns > 2)
    for (; p + 2 <= full; p += 2) columns<2>(x, rows, w, p, activation, from(p));
  for (; p < end; ++p) columns<1>(x, rows, w, p, activation, from(p));
}
#endif

#if defined(CPU2VEC_BENCH) && !defined(CPU2VEC_OWN_SPIN)
double spin(long rounds) {
  constexpr int kChains = kLanes != 8 ? 20 : kActivationBytes > 1 ? 10 : 12;
  alignas(kAlignment) const uint8_t one[kQuad * 2] = {1, 1, 1, 1, 1, 1, 1, 1};
  const Quad activations = load_quad(one);
  Ints sums[kChains] = {}, weights = Ints(3);
  for (long i = 0; i < rounds; ++i) {
    UNROLL for (int c = 0; c < kChains; ++c) {
#if defined(__x86_64__)
      __asm__ volatile("" : "+x"(weights));  // keeps the compiler from hoisting the loop's invariant work
#else
      __asm__ volatile("" : "+w"(weights));
#endif
      sums[c] = dot4(sums[c], activations, weights);
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
