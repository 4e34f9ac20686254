// Attention with float products: for short texts, and for instruction sets without a 16-bit dot product.
#pragma once
#include "simd_attention.h"

namespace cpu2vec {
namespace {

typedef float Four __attribute__((ext_vector_type(4)));

// to[i][j] = from[j][i] * factor
INLINE void transpose4(const float* from, size_t stride, float factor, float* to, size_t to_stride) {
  Four r[4];
  for (int i = 0; i < 4; ++i) r[i] = load_as<Four>(from + i * stride) * factor;
  const Four a = __builtin_shufflevector(r[0], r[1], 0, 4, 1, 5), b = __builtin_shufflevector(r[0], r[1], 2, 6, 3, 7);
  const Four c = __builtin_shufflevector(r[2], r[3], 0, 4, 1, 5), d = __builtin_shufflevector(r[2], r[3], 2, 6, 3, 7);
  store_as(to, __builtin_shufflevector(a, c, 0, 1, 4, 5));
  store_as(to + to_stride, __builtin_shufflevector(a, c, 2, 3, 6, 7));
  store_as(to + 2 * to_stride, __builtin_shufflevector(b, d, 0, 1, 4, 5));
  store_as(to + 3 * to_stride, __builtin_shufflevector(b, d, 2, 3, 6, 7));
}

struct FloatAttention {
  FloatAttention(Arena& arena, int tokens, int width, Shared& shared)
      : s(shared),
        keys(arena.allocate<float>(round_up(tokens, kPanel) * width)),
        values(arena.allocate<float>(tokens * round_up(width, kPanel))) {}

  void pack(const AttentionHead& h) {
    head = &h;
    padded = (int)round_up(h.width, kPanel);
    poison = 0;
    const float factor = h.scale * kLog2E;
    for (int j = 0; j < (int)round_up(h.tokens, 4); j += 4) {
      float* to = keys + (size_t)(j / kPanel) * h.width * kPanel + j % kPanel;
      int i = 0;
      if (j + 4 <= h.tokens)
        for (; i + 4 <= h.width; i += 4)
          transpose4(h.key + j * h.stride + i, h.stride, factor, to + i * kPanel, kPanel);
      for (; i < h.width; ++i)
        for (int t = 0; t < 4; ++t)
          to[i * kPanel + t] = j + t < h.tokens ? h.key[(j + t) * h.stride + i] * factor : 0;
    }
    for (int j = (int)round_up(h.tokens, 4); j < (int)round_up(h.tokens, kPanel); ++j)
      for (int i = 0; i < h.width; ++i) keys[((size_t)(j / kPanel) * h.width + i) * kPanel + j % kPanel] = 0;
    Ints tops = Ints(0);
    for (int j = 0; j < h.tokens; ++j) {
      each_vector(h.width, [&](int i, int count) { tops = max(tops, magnitude(load(h.key + j * h.stride + i, count))); });
      for (int i = 0; i < padded; i += kLanes) {
        const int count = h.width - i >= kLanes ? kLanes : h.width > i ? h.width - i : 0;
        const Floats value = load(h.value + j * h.stride + i, count);
        tops = max(tops, magnitude(value));
        store(values + (size_t)j * padded + i, value);
      }
    }
    poison = poison_of(max_of(tops));
  }

  void queries(int row, int rows) {
    for (int r = 0; r < kRows; ++r) query[r] = head->query + (row + (r < rows ? r : rows - 1)) * head->query_stride;
    for (int r = 0; r < rows; ++r) s.poison[r] = poison_of(largest(query[r], head->width)) + poison;
  }

  template <int P>
  INLINE void score_panels(int row, int first, int panel) {
    constexpr int V = P * kVectors;
    Floats sums[kRows][V];
    UNROLL for (int r = 0; r < kRows; ++r) {
      UNROLL for (int v = 0; v < V; ++v) sums[r][v] = splat(0);
    }
    const float* from = keys + (size_t)(first / kPanel + panel) * head->width * kPanel;
    for (int i = 0; i < head->width; ++i) {
      Floats k[V];
      UNROLL for (int v = 0; v < V; ++v) {
        k[v] = load(from + ((size_t)(v / kVectors) * head->width + i) * kPanel + v % kVectors * kLanes);
      }
      UNROLL for (int r = 0; r < kRows; ++r) {
        UNROLL for (int v = 0; v < V; ++v) sums[r][v] = fma(splat(query[r][i]), k[v], sums[r][v]);
      }
    }
    UNROLL for (int r = 0; r < kRows; ++r) {
      UNROLL for (int v = 0; v < V; ++v) {
        const int key = panel * kPanel + v * kLanes;
        store(s.scores + r * kBlock + key, biased(*head, s, sums[r][v], row + r, first + key));
      }
    }
  }

  void score(int row, int first, int count) {
    int p = 0;
    for (; p + kColumns <= count; p += kColumns) score_panels<kColumns>(row, first, p);
    if constexpr (kColumns > 2)
      for (; p + 2 <= count; p += 2) score_panels<2>(row, first, p);
    for (; p < count; ++p) score_panels<1>(row, first, p);
  }

  INLINE float exponents(int r, int count, float top) {
    Floats sums = splat(0);
    float* weights = s.scores + r * kBlock;
    each_vector(count, [&](int i, int lanes) {
      const Floats e = first_lanes(exp2(load(weights + i) - splat(top)), lanes, splat(0));
      store(weights + i, e);
      sums += e;
    });
    return sum_of(sums);
  }

  INLINE void clear(int r, int from, int to) {
    for (int i = from; i < to; ++i) s.scores[r * kBlock + i] = 0;
  }

  template <int P>
  INLINE void value_panels(int first, int count, int column) {
    constexpr int V = P * kVectors;
    Floats sums[kRows][V];
    UNROLL for (int r = 0; r < kRows; ++r) {
      UNROLL for (int v = 0; v < V; ++v) sums[r][v] = load(s.context + r * padded + column + v * kLanes);
    }
    for (int t = 0; t < count; ++t) {
      Floats value[V];
      UNROLL for (int v = 0; v < V; ++v) value[v] = load(values + (size_t)(first + t) * padded + column + v * kLanes);
      UNROLL for (int r = 0; r < kRows; ++r) {
        UNROLL for (int v = 0; v < V; ++v) sums[r][v] = fma(splat(s.scores[r * kBlock + t]), value[v], sums[r][v]);
      }
    }
    UNROLL for (int r = 0; r < kRows; ++r) {
      UNROLL for (int v = 0; v < V; ++v) store(s.context + r * padded + column + v * kLanes, sums[r][v]);
    }
  }

  void add_values(int first, int count) {
    int column = 0;
    if constexpr (kColumns > 1)
      for (; column + 2 * kPanel <= padded; column += 2 * kPanel) value_panels<2>(first, count, column);
    for (; column < padded; column += kPanel) value_panels<1>(first, count, column);
  }

  INLINE void write(int row, int r, float factor) {
    float* out = head->out + row * head->out_stride;
    each_vector(head->width, [&](int i, int count) {
      store(out + i, load(s.context + r * padded + i) * splat(factor), count);
    });
  }

  Shared& s;
  float* keys;    // [panels(tokens)][width][16], multiplied by scale and log2(e)
  float* values;  // [tokens][width, padded]
  const AttentionHead* head = nullptr;
  const float* query[kRows];
  float poison = 0;
  int padded = 0;
};

size_t scratch_in_floats(int tokens, int width) {
  Arena arena(nullptr);
  Shared shared(arena, tokens, width);
  FloatAttention(arena, tokens, width, shared);
  return arena.used();
}

void attention_in_floats(const AttentionHead& head, void* scratch) {
  Arena arena(scratch);
  Shared shared(arena, head.tokens, head.width);
  FloatAttention method(arena, head.tokens, head.width, shared);
  method.pack(head);
  attend(head, shared, method);
}

}  // namespace
}  // namespace cpu2vec
