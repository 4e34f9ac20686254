// Operations on rows of floats: adding a residual, layer normalization, embeddings.
#pragma once
#include "simd_math.h"

namespace cpu2vec {
namespace {

// y = (y - mean) / sqrt(variance + epsilon) * gamma + beta. The mean comes first, then the squared differences from it,
// so that a large mean causes no cancellation.
INLINE void normalize(float* y, int n, const Norm& norm, Floats sums) {
  const Floats mean = splat(sum_of(sums) / (float)n);
  Floats squares[2] = {splat(0), splat(0)};
  int i = 0;
  for (; i + 2 * kLanes <= n; i += 2 * kLanes) UNROLL for (int c = 0; c < 2; ++c) {
    const Floats d = load(y + i + c * kLanes) - mean;
    squares[c] = fma(d, d, squares[c]);
  }
  float rest = 0;
  for (; i < n; ++i) rest += (y[i] - mean[0]) * (y[i] - mean[0]);
  const float variance = (sum_of(squares[0] + squares[1]) + rest) / (float)n;
  const Floats inverse = splat(1.0f / __builtin_sqrtf(variance + norm.epsilon));
  each_vector(n, [&](int j, int count) {
    const Floats v = (load(y + j, count) - mean) * inverse;
    store(y + j, fma(v, load(norm.gamma + j, count), load(norm.beta + j, count)), count);
  });
}

void add_norm(const float* x, const float* residual, int rows, int n, const Norm* norm, float* y) {
  for (int r = 0; r < rows; ++r, x += n, y += n) {
    Floats sums = splat(0);
    each_vector(n, [&](int i, int count) {
      Floats v = load(x + i, count);
      if (residual) v += load(residual + (size_t)r * n + i, count);
      if (residual || x != y) store(y + i, v, count);
      sums += v;
    });
    if (norm) normalize(y, n, *norm, sums);
  }
}

INLINE Floats load_bytes(const int8_t* p, int count) {
  typedef int8_t Chars __attribute__((ext_vector_type(kLanes)));
  int8_t lanes[kLanes] = {};
  memcpy(lanes, p, count);
  return __builtin_convertvector(load_as<Chars>(lanes), Floats);
}

void embed(const int8_t* word, float scale, const float* position, const float* type, int n, const Norm* norm,
           float* out) {
  Floats sums = splat(0);
  each_vector(n, [&](int i, int count) {
    Floats v = load_bytes(word + i, count) * splat(scale);
    if (position) v += load(position + i, count);
    if (type) v += load(type + i, count);
    store(out + i, v, count);
    sums += v;
  });
  if (norm) normalize(out, n, *norm, sums);
}

}  // namespace
}  // namespace cpu2vec
