// Attention of one head over one text, in blocks of keys: softmax weights are held for one block only, and earlier sums
// are rescaled when a later block has a larger score (Milakov and Gimelshein, 2018, "Online normalizer calculation for
// softmax"). Memory is linear in the number of tokens.
#pragma once
#include "simd_math.h"

namespace cpu2vec {
namespace {

constexpr int kBlock = 256;  // keys; a multiple of kPanel

// Allocates aligned parts of one buffer; with a null base it only adds up their sizes.
class Arena {
 public:
  explicit Arena(void* base) : base_(static_cast<char*>(base)) {}
  template <class T>
  T* allocate(size_t count) {
    char* part = base_ ? base_ + used_ : nullptr;
    used_ += round_up(count * sizeof(T), kAlignment);
    return reinterpret_cast<T*>(part);
  }
  size_t used() const { return used_; }

 private:
  char* base_;
  size_t used_ = 0;
};

// What float and integer attention share. Scores are in units of log2, because softmax computes powers of two.
struct Shared {
  Shared(Arena& arena, int tokens, int width)
      : bias(arena.allocate<float>(2 * round_up(tokens, kPanel) + kPanel)),
        scores(arena.allocate<float>(kRows * kBlock)),
        context(arena.allocate<float>(kRows * round_up(width, kPanel))) {}
  float* bias;     // [2 * tokens - 1], for the distances 1 - tokens .. tokens - 1
  float* scores;   // [kRows][kBlock]
  float* context;  // [kRows][width, padded]
  float top[kRows], sum[kRows], poison[kRows];
};

INLINE void expand_bias(const AttentionHead& head, float* bias) {
  if (!head.bias) return;
  for (int d = 1 - head.tokens; d < head.tokens; ++d) {
    const int clipped = d < 1 - head.reach ? 1 - head.reach : d > head.reach - 1 ? head.reach - 1 : d;
    bias[d + head.tokens - 1] = head.bias[clipped + head.reach - 1] * kLog2E;
  }
}

// Adds the bias to the scores of query `row` and of a vector of keys that starts at `first`.
INLINE Floats biased(const AttentionHead& head, const Shared& s, Floats score, int row, int first) {
  if (!head.bias) return score;
  const int query = head.position(row < head.queries ? row : head.queries - 1);
  return score + load(s.bias + first - query + head.tokens - 1);
}

// Returns the largest score so far, and scales down the sums of earlier blocks if it has grown.
INLINE float raise_top(Shared& s, int r, const float* scores, int keys, int width, bool first) {
  Floats tops[2] = {splat(scores[0]), splat(scores[0])};
  each_vector_of_two(keys, [&](int i, int count, int chain) {
    tops[chain] = max(tops[chain], first_lanes(load(scores + i), count, splat(scores[0])));
  });
  const float top = max_of(max(tops[0], tops[1]));
  if (first) {
    s.sum[r] = 0;
    return s.top[r] = top;
  }
  if (!(top > s.top[r])) return s.top[r];
  const Floats factor = splat(exp2(max(splat(s.top[r] - top), splat(-126.0f)))[0]);
  s.sum[r] *= factor[0];
  float* context = s.context + r * round_up(width, kPanel);
  for (int i = 0; i < width; i += kLanes) store(context + i, load(context + i) * factor);
  return s.top[r] = top;
}

// Runs over tiles of rows and blocks of keys. `Method` holds packed keys and values and has:
//   queries(row, rows)                   prepares the tile's queries
//   score(row, first key, panels)        writes the tile's scores to s.scores
//   exponents(r, keys, top)              turns the first scores of one row into weights; returns their sum
//   clear(r, from, to)                   sets the weights of keys to zero
//   add_values(first key, keys)          adds the tile's weighted values to s.context
//   write(row, r, factor)                writes a finished row
template <class Method>
INLINE void attend(const AttentionHead& head, Shared& s, Method& method) {
  expand_bias(head, s.bias);
  const int padded = (int)round_up(head.width, kPanel);
  for (int row = 0; row < head.queries; row += kRows) {
    const int rows = head.queries - row < kRows ? head.queries - row : kRows, all = head.keys(row + rows - 1);
    memset(s.context, 0, sizeof(float) * kRows * padded);
    method.queries(row, rows);
    for (int first = 0; first < all; first += kBlock) {
      const int keys = all - first < kBlock ? all - first : kBlock;
      method.score(row, first, panels(keys));
      for (int r = 0; r < rows; ++r) {
        const int left = head.keys(row + r) - first, own = left < 0 ? 0 : left < keys ? left : keys;
        if (own > 0) {
          const float top = raise_top(s, r, s.scores + r * kBlock, own, head.width, first == 0);
          s.sum[r] += method.exponents(r, own, top);
        }
        method.clear(r, own, keys);
      }
      method.add_values(first, keys);
    }
    for (int r = 0; r < rows; ++r) method.write(row + r, r, 1.0f / s.sum[r] + s.poison[r]);
  }
}

// Returns the largest magnitude of n numbers, as an integer: at least kInfinity if one of them is not finite.
INLINE int32_t largest(const float* p, int n) {
  Ints tops = Ints(0);
  each_vector(n, [&](int i, int count) { tops = max(tops, magnitude(load(p + i, count))); });
  return max_of(tops);
}

// Returns NaN if the largest magnitude is not finite, and otherwise 0: added to a result, it makes that NaN.
INLINE float poison_of(int32_t largest) { return largest >= kInfinity ? __builtin_nanf("") : 0; }

}  // namespace
}  // namespace cpu2vec
