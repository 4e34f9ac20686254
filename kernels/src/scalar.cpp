// The reference implementation of every kernel, in plain code for any CPU; all others are tested against it.
#include <cmath>
#include <cstring>

#include "kernels.h"

namespace cpu2vec {
namespace {

constexpr float kRounder = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer, halves to even

// Returns the smoothed and shifted value of channel i; x begins with channel `first`.
float affine(const float* x, const Weight& w, int first, int i) {
  float v = x[i - first];
  if (w.smooth) v *= w.smooth[i];
  if (w.shift) v -= w.shift[i];
  return v;
}

void quantize(Rows<const float> x, int rows, const Weight& w, int group, const QuantizedRows& to) {
  const int begin = group * group_width(w.k), end = group_end(w.k, group);
  for (int r = 0; r < rows; ++r, x.data += x.stride) {
    uint8_t* q = to.q + r * to.stride;
    memset(q + begin, 0, (end < w.k ? end : to.stride) - begin);
    float low = affine(x.data, w, begin, begin), high = low;
    bool finite = true;
    for (int i = begin; i < end; ++i) {
      const float v = affine(x.data, w, begin, i);
      finite = finite && std::isfinite(v);
      low = v < low ? v : low;
      high = v > high ? v : high;
    }
    const float range = high - low;
    finite = finite && std::isfinite(range);
    to.scale[r * groups(w.k) + group] = finite ? range / kLevels : NAN;
    to.low[r * groups(w.k) + group] = finite ? low : NAN;
    if (!finite || range < kSmallestRange) continue;  // constant: `low` holds the value
    const float inverse = kLevels / range;
    for (int i = begin; i < end; ++i)
      q[i] = (uint8_t)(std::fma(affine(x.data, w, begin, i) - low, inverse, kRounder) - kRounder);
  }
}

float activate(Activation activation, float x) {
  switch (activation) {
    case Activation::kNone: return x;
    case Activation::kGelu: return 0.5f * x * (1 + std::erf(x * 0.70710678f));
    case Activation::kGeluTanh: return 0.5f * x * (1 + std::tanh(0.79788456f * (x + 0.044715f * x * x * x)));
    case Activation::kRelu: return x < 0 ? 0 : x;
    case Activation::kSilu: return x / (1 + std::exp(-x));
    case Activation::kTanh: return std::tanh(x);
    case Activation::kQuickGelu: return x / (1 + std::exp(-1.702f * x));
  }
  return x;
}

// Adds one group's products, which are summed up in integers, to the product of the previous groups.
float add_group(float product, const QuantizedRows& x, int r, const Weight& w, int j, int g) {
  const int8_t* column = w.packed + ((size_t)(j / kPanel) * quads(w.k) * kPanel + j % kPanel) * kQuad;
  const uint8_t* q = x.q + r * x.stride;
  int32_t sum = 0;
  for (int i = g * group_width(w.k); i < group_end(w.k, g); ++i)
    sum += q[i] * column[i / kQuad * kPanel * kQuad + i % kQuad];
  const size_t row = (size_t)r * groups(w.k) + g, of = (size_t)g * w.n + j;
  return std::fma(std::fma(x.low[row], (float)w.sums[of], x.scale[row] * (float)sum), w.scale[of], product);
}

void matmul(const QuantizedRows& x, int rows, const Weight& w, int begin, int end, Activation activation,
            Rows<float> y) {
  const int first = begin * kPanel, last = end * kPanel < w.n ? end * kPanel : w.n;
  for (int r = 0; r < rows; ++r)
    for (int j = first; j < last; ++j) {
      float product = w.bias[j];
      for (int g = 0; g < groups(w.k); ++g) product = add_group(product, x, r, w, j, g);
      y.data[r * y.stride + j - first] = activate(activation, product);
    }
}

void normalize(float* y, int n, const Norm& norm) {
  double mean = 0, variance = 0;
  for (int i = 0; i < n; ++i) mean += y[i];
  mean /= n;
  for (int i = 0; i < n; ++i) variance += (y[i] - mean) * (y[i] - mean);
  const double inverse = 1 / std::sqrt(variance / n + norm.epsilon);
  for (int i = 0; i < n; ++i) y[i] = (float)((y[i] - mean) * inverse * norm.gamma[i] + norm.beta[i]);
}

void add_norm(const float* x, const float* residual, int rows, int n, const Norm* norm, float* y) {
  for (int r = 0; r < rows; ++r, x += n, y += n) {
    for (int i = 0; i < n; ++i) y[i] = x[i] + (residual ? residual[(size_t)r * n + i] : 0);
    if (norm) normalize(y, n, *norm);
  }
}

void embed(const int8_t* word, float scale, const float* position, const float* type, int n, const Norm* norm,
           float* out) {
  for (int i = 0; i < n; ++i) out[i] = (float)word[i] * scale + (position ? position[i] : 0) + (type ? type[i] : 0);
  if (norm) normalize(out, n, *norm);
}

size_t attention_scratch(int tokens, int) { return (size_t)tokens * sizeof(double); }

int clipped(int distance, int reach) {
  return distance < 1 - reach ? 0 : distance > reach - 1 ? 2 * reach - 2 : distance + reach - 1;
}

// Tells whether all keys and values of the text's head are finite.
bool finite(const AttentionHead& head) {
  for (int j = 0; j < head.tokens; ++j)
    for (int i = 0; i < head.width; ++i)
      if (!std::isfinite(head.key[j * head.stride + i]) || !std::isfinite(head.value[j * head.stride + i])) return false;
  return true;
}

void attention(const AttentionHead& head, void* scratch) {
  double* weight = static_cast<double*>(scratch);
  const double poison = finite(head) ? 0 : NAN;
  for (int r = 0; r < head.queries; ++r) {
    const float* query = head.query + r * head.query_stride;
    const int keys = head.keys(r);
    double top = -HUGE_VAL, sum = poison;
    for (int j = 0; j < keys; ++j) {
      double dot = 0;
      for (int i = 0; i < head.width; ++i) dot += (double)query[i] * head.key[j * head.stride + i];
      weight[j] = dot * head.scale + (head.bias ? head.bias[clipped(j - head.position(r), head.reach)] : 0);
      top = weight[j] > top ? weight[j] : top;
    }
    for (int j = 0; j < keys; ++j) sum += weight[j] = std::exp(weight[j] - top);
    for (int i = 0; i < head.width; ++i) {
      double context = 0;
      for (int j = 0; j < keys; ++j) context += weight[j] * head.value[j * head.stride + i];
      head.out[r * head.out_stride + i] = (float)(context / sum);
    }
  }
}

#ifdef CPU2VEC_BENCH
double spin(long rounds) {
  int32_t sum = 0;
  for (long i = 0; i < rounds; ++i) {
    sum += 3 * 5;
    __asm__ volatile("" : "+r"(sum));
  }
  return 2.0 * rounds;
}
#endif

}  // namespace

extern const Kernels kScalar;
const Kernels kScalar = {"scalar", 1, quantize, matmul, add_norm, embed, attention_scratch, attention,
#ifdef CPU2VEC_BENCH
                         spin,
#endif
};

}  // namespace cpu2vec
