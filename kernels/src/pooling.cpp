#include "pooling.h"

#include <cstring>

namespace cpu2vec {
namespace {

constexpr float kSmallestNorm = 1e-12f;  // as torch.nn.functional.normalize has it
constexpr int kSums = 8;                 // added up side by side, so that they need not wait for each other

// Rows are added in order: a text has the same bits on every instruction set.
void mean(const float* x, int64_t rows, int64_t width, float* y) {
  if (rows == 0) return (void)memset(y, 0, width * sizeof(float));
  memcpy(y, x, width * sizeof(float));
  for (int64_t row = 1; row < rows; ++row)
    for (int64_t i = 0; i < width; ++i) y[i] += x[row * width + i];
  for (int64_t i = 0; i < width; ++i) y[i] /= (float)rows;
}

// The norm is summed in fp64 and rounded to fp32, so that the order does not matter. NaN stays NaN.
void normalize(int64_t width, float* y) {
  double sums[kSums] = {};
  int64_t i = 0;
  for (; i + kSums <= width; i += kSums)
    for (int s = 0; s < kSums; ++s) sums[s] += (double)y[i + s] * y[i + s];
  for (; i < width; ++i) sums[0] += (double)y[i] * y[i];
  double sum = 0;
  for (double part : sums) sum += part;
  const float norm = (float)__builtin_sqrt(sum), divisor = norm < kSmallestNorm ? kSmallestNorm : norm;
  for (i = 0; i < width; ++i) y[i] /= divisor;
}

}  // namespace

Error check_pooled(const PooledText* pooled, int64_t texts) {
  for (int64_t text = 0; pooled && text < texts; ++text) {
    const auto& [begin, end, normalizes] = pooled[text];
    if (begin < 0 || end < begin)
      return error("pooled[%lld] must be of tokens from 0 on, not of %lld to %lld", (long long)text, (long long)begin,
                   (long long)end);
    if (normalizes != 0 && normalizes != 1)
      return error("pooled[%lld] must be normalized or not, 1 or 0, not %lld", (long long)text, (long long)normalizes);
  }
  return {};
}

void pool(const PooledText* pooled, const Lengths& lengths, const int64_t* rows, int64_t queries, const float* x,
          int64_t width, float* y) {
  int64_t start = 0, query = 0;  // the text's first token, and the first of its rows
  for (int64_t text = 0; text < lengths.texts; start += lengths.of[text++], y += width) {
    const auto& [begin, end, normalizes] = pooled[text];
    const float* first = nullptr;
    int64_t count = 0;
    for (; query < queries; ++query) {
      const int64_t token = (rows ? rows[query] : query) - start;
      if (token >= lengths.of[text]) break;
      if (token < begin || token >= end) continue;
      if (count++ == 0) first = x + query * width;
    }
    mean(first, count, width, y);
    if (normalizes) normalize(width, y);
  }
}

}  // namespace cpu2vec
