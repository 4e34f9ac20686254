#include "proof.h"

#include <cmath>

#include "dispatch.h"

namespace cpu2vec {
namespace {

// Odd sizes, so that full tiles, short tiles and padding all take part.
constexpr int kRowsProved = 9, kK = 340, kN = 84, kTokens = 70, kWidth = 20;

// Numbers in [-1, 1), the same in every run (Numerical Recipes' linear congruential generator).
struct Noise {
  uint32_t state = 1;
  float next() {
    state = state * 1664525u + 1013904223u;
    return (float)(int32_t)state / 2147483648.0f;
  }
};

struct alignas(kAlignment) Problem {
  int8_t packed[panels(kN) * quads(kK) * kPanel * kQuad] = {};
  float scale[groups(kK) * kN], bias[kN], x[kRowsProved * kK], qkv[kTokens * 3 * kWidth], gamma[kN], beta[kN];
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

struct Answer {
  float product[kRowsProved * kN], context[kTokens * kWidth];
};

void solve(const Kernels& kernels, const Problem& p, Answer& to) {
  alignas(kAlignment) static uint8_t q[kRowsOf * round_up(kK, kStrideOf)];
  alignas(kAlignment) static char scratch[256 << 10];
  float scale[kRowsOf * groups(kK)], low[kRowsOf * groups(kK)];
  const Weight w = {p.packed, p.scale, p.sums, p.bias, nullptr, nullptr, kK, kN};
  const QuantizedRows rows = {q, (size_t)round_up(kK, kStrideOf), scale, low};
  const Norm norm = {p.gamma, p.beta, 1e-5f};
  for (int g = 0; g < groups(kK); ++g) kernels.quantize({p.x + g * group_width(kK), kK}, kRowsProved, w, g, rows);
  kernels.matmul(rows, kRowsProved, w, 0, panels(kN), Activation::kGelu, {to.product, kN});
  kernels.add_norm(to.product, nullptr, kRowsProved, kN, &norm);
  AttentionHead head = {p.qkv, p.qkv + kWidth, p.qkv + 2 * kWidth, 3 * kWidth, kTokens, kWidth, 0.25f, nullptr, 0,
                        to.context, kWidth};
  if (kernels.attention_scratch(kTokens, kWidth) > sizeof scratch) return;
  kernels.attention(head, scratch);
}

bool near(const float* a, const float* b, int count, double tolerance) {
  double error = 0, size = 0;
  for (int i = 0; i < count; ++i) {
    error += (double)(a[i] - b[i]) * (a[i] - b[i]);
    size += (double)b[i] * b[i];
  }
  return error <= tolerance * tolerance * size;  // false for NaN
}

}  // namespace

bool proves_itself(const Kernels& kernels) {
  if (&kernels == &kScalar) return true;
  static const Problem problem;
  static Answer answer, expected;
  solve(kernels, problem, answer);
  solve(kScalar, problem, expected);
  const double tolerance = kernels.levels == kScalar.levels ? 1e-4 : 2e-2;
  return near(answer.product, expected.product, kRowsProved * kN, tolerance) &&
         near(answer.context, expected.context, kTokens * kWidth, 2e-2);
}

}  // namespace cpu2vec
