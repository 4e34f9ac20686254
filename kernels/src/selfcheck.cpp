#include "selfcheck.h"

#include <cmath>

#include "dispatch.h"

namespace cpu2vec {
namespace {

// Odd sizes, so that full tiles, partial tiles and padding are all covered.
constexpr int kCheckedRows = 9, kK = 340, kN = 84, kTokens = 70, kWidth = 20;

// Reproducible numbers in [-1, 1), from the linear congruential generator of Numerical Recipes.
struct Noise {
  uint32_t state = 1;
  float next() {
    state = state * 1664525u + 1013904223u;
    return (float)(int32_t)state / 2147483648.0f;
  }
};

struct alignas(kAlignment) Problem {
  int8_t packed[panels(kN) * quads(kK) * kPanel * kQuad] = {};
  float scale[groups(kK) * kN], bias[kN], x[kCheckedRows * kK], qkv[kTokens * 3 * kWidth], gamma[kN], beta[kN];
  int32_t sums[groups(kK) * kN] = {};

  Problem() {
    Noise noise;
    for (int j = 0; j < kN; ++j) {
      for (int i = 0; i < kK; ++i) {
        const int8_t w = (int8_t)(noise.next() * 127.5f);
        packed[((j / kPanel * quads(kK) + i / kQuad) * kPanel + j % kPanel) * kQuad + i % kQuad] = w;
        sums[i / group_width(kK) * kN + j] += w;
      }
      bias[j] = noise.next(), gamma[j] = noise.next(), beta[j] = noise.next();
    }
    for (float& v : scale) v = 0.005f + 0.0005f * noise.next();
    for (float& v : x) v = 3 * noise.next();
    for (float& v : qkv) v = 2 * noise.next();
  }
};

struct Result {
  float product[kCheckedRows * kN], context[kTokens * kWidth];
};

void compute(const Kernels& kernels, const Problem& p, Result& to) {
  alignas(kAlignment) static uint8_t q[kRowMultiple * round_up(kK, kRowAlignment) * kMostActivationBytes];
  alignas(kAlignment) static char scratch[256 << 10];
  float scale[kRowMultiple * groups(kK)], low[kRowMultiple * groups(kK)];
  int32_t missing[kRowMultiple * groups(kK)];
  const Weight w = {p.packed, p.scale, p.sums, p.bias, nullptr, nullptr, kK, kN};
  const QuantizedRows rows = {q, (size_t)round_up(kK, kRowAlignment) * kernels.activation_bytes, scale, low, missing};
  const Norm norm = {p.gamma, p.beta, 1e-5f};
  for (int g = 0; g < groups(kK); ++g) kernels.quantize({p.x + g * group_width(kK), kK}, kCheckedRows, w, g, rows);
  kernels.matmul(rows, kCheckedRows, w, 0, panels(kN), Activation::kGelu, {to.product, kN});
  kernels.add_norm(to.product, nullptr, kCheckedRows, kN, &norm, to.product);
  AttentionHead head = {p.qkv, p.qkv + kWidth, p.qkv + 2 * kWidth, 3 * kWidth, 3 * kWidth, kTokens, kTokens, kWidth,
                        nullptr, 0, 0.25f, nullptr, 0, Mask::kNone, to.context, kWidth};
  if (kernels.attention_scratch(kTokens, kWidth) > sizeof scratch) return;
  kernels.attention(head, scratch);
}

bool is_close(const float* a, const float* b, int count, double tolerance) {
  double error = 0, size = 0;
  for (int i = 0; i < count; ++i) {
    error += (double)(a[i] - b[i]) * (a[i] - b[i]);
    size += (double)b[i] * b[i];
  }
  return error <= tolerance * tolerance * size;  // false for NaN
}

}  // namespace

bool passes_selfcheck(const Kernels& kernels) {
  if (&kernels == &kScalar) return true;
  static const Problem problem;
  static Result actual, expected;
  compute(kernels, problem, actual);
  compute(kScalar, problem, expected);
  return is_close(actual.product, expected.product, kCheckedRows * kN, 1e-4) &&
         is_close(actual.context, expected.context, kTokens * kWidth, 2e-2);
}

}  // namespace cpu2vec
