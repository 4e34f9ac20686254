// Functions of float vectors: powers of two, and the activation functions of transformers.
#pragma once
#include "simd_gelu.h"

namespace cpu2vec {
namespace {

constexpr float kLog2E = 1.44269504f;

// 2^f for f in [-1/2, 1/2]: a least-squares fit at Chebyshev nodes, with a relative error of 4e-6.
INLINE Floats exp2_fraction(Floats f) {
  Floats p = splat(0.00955407976f);
  p = fma(p, f, splat(0.05587055325f));
  p = fma(p, f, splat(0.24024698228f));
  p = fma(p, f, splat(0.69312801314f));
  return fma(p, f, splat(0.99999943913f));
}

// 2^x for x <= 127; below -126, the result is less than 1e-37 or 0.
INLINE Floats exp2(Floats x) {
#if CPU2VEC_VECTOR_BYTES == 64
  const __m512 whole = _mm512_roundscale_ps((__m512)x, 0);
  return (Floats)_mm512_scalef_ps((__m512)exp2_fraction(x - (Floats)whole), whole);
#else
  x = max(x, splat(-126.0f));
  const Floats whole = x + splat(kRounder);
  const Floats p = exp2_fraction(x - (whole - splat(kRounder)));
  return as_floats(as_ints(p) + (as_ints(whole) << 23));
#endif
}

// 2^x with a relative error of 8e-5, for values that will be rounded to 15 bits.
INLINE Floats exp2_coarsely(Floats x) {
#if CPU2VEC_VECTOR_BYTES == 64
  constexpr int kFromFloor = 9;  // x - floor(x), without exceptions
  const Floats f = (Floats)_mm512_reduce_ps((__m512)x, kFromFloor);
  Floats p = splat(0.07790716f);
  p = fma(p, f, splat(0.22623319f));
  p = fma(p, f, splat(0.69577710f));
  p = fma(p, f, splat(0.99992783f));
  return (Floats)_mm512_scalef_ps((__m512)p, (__m512)x);
#else
  return exp2(x);
#endif
}

// 1 / (1 + e^-x)
INLINE Floats sigmoid(Floats x) {
  const Floats power = min(max(x * splat(-kLog2E), splat(-126.0f)), splat(126.0f));
  return splat(1.0f) / (splat(1.0f) + exp2(power));
}

INLINE Floats silu(Floats x) { return x * sigmoid(x); }

#if CPU2VEC_VECTOR_BYTES != 64
// CLIP's GELU, which is in simd_gelu.h for wider registers.
INLINE Floats quick_gelu(Floats x) { return x * sigmoid(x * splat(1.702f)); }
#endif

INLINE Floats tanh(Floats x) {
  const Floats y = fma(splat(2.0f), sigmoid(x + x), splat(-1.0f));
  return x == x ? y : x;
}

INLINE Floats gelu_tanh(Floats x) {
  return x * sigmoid(splat(1.59576912f) * fma(splat(0.044715f) * x, x * x, x));
}

template <class F>
INLINE void map(float* y, size_t stride, int rows, int columns, F f) {
  for (int r = 0; r < rows; ++r, y += stride)
    each_vector(columns, [&](int i, int count) {
      store(y + i, f(load(y + i, count)), count);
    });
}

// Works in place, on a tile that was just written and is still in the L1 cache.
// NOTE: NaN stays NaN because x is a factor of the result; in relu, because x is the second operand.
__attribute__((noinline)) void activate(Activation activation, float* y, size_t stride, int rows, int columns) {
  switch (activation) {
    case Activation::kNone: return;
    case Activation::kGelu: return map(y, stride, rows, columns, gelu);
    case Activation::kGeluTanh: return map(y, stride, rows, columns, gelu_tanh);
    case Activation::kRelu: return map(y, stride, rows, columns, [](Floats x) { return max(splat(0), x); });
    case Activation::kSilu: return map(y, stride, rows, columns, silu);
    case Activation::kTanh: return map(y, stride, rows, columns, tanh);
    case Activation::kQuickGelu: return map(y, stride, rows, columns, quick_gelu);
  }
}

}  // namespace
}  // namespace cpu2vec
