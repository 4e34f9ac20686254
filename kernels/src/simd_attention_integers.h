// Attention with integer products, for longer texts: queries and keys have 8 bits and one scale per row, softmax
// weights have 15 bits, and values have 9 bits and one scale per channel.
#pragma once
#include "simd_attention.h"

namespace cpu2vec {
namespace {

// NOTE: one byte per weight would lose the many small weights of a long text. The number of bits is such that the sum
// over a block of keys fits into 32 bits.
constexpr int kRowsAhead = 16;
constexpr int kWeightMax = 32767, kValueMax = 255, kQueryZero = 128;
static_assert((int64_t)kBlock * kWeightMax * kValueMax <= INT32_MAX, "a block's sum would overflow");

// Returns the step of a grid of -127..127 that reaches the largest magnitude; 0 if that is tiny or not finite.
INLINE float step_of(int32_t largest) {
  const float top = float_of(largest);
  return top > kSmallestRange && largest < kInfinity ? top * (1.0f / 127) : 0;
}

struct IntegerAttention {
  IntegerAttention(Arena& arena, int tokens, int width, Shared& shared)
      : s(shared),
        keys(arena.allocate<int8_t>(round_up(tokens, kPanel) * quads(width) * kQuad)),
        key_scale(arena.allocate<float>(round_up(tokens, kPanel))),
        key_start(arena.allocate<int32_t>(round_up(tokens, kPanel))),
        values(arena.allocate<int16_t>(round_up(width, kPanel) * round_up(tokens, 2))),
        value_scale(arena.allocate<float>(round_up(width, kPanel))),
        query(arena.allocate<uint8_t>(kRows * round_up(width, kRowAlignment))),
        weights(arena.allocate<int16_t>(kRows * kBlock)) {}

  void pack(const AttentionHead& h) {
    head = &h;
    padded = (int)round_up(h.width, kPanel);
    stride = round_up(h.width, kRowAlignment);
    poison = 0;
    memset(query, 0, kRows * stride);
    for (int j = 0; j < h.tokens; ++j) {
      fetch_row(h.key, h.stride, j + kRowsAhead, h.tokens);
      pack_key(j);
    }
    finish_keys();
    for (int i = 0; i < padded; i += kLanes) pack_values(i);
  }

  // PERF: rows are pages apart, so that the hardware does not prefetch them.
  INLINE void fetch_row(const float* part, size_t part_stride, int row, int rows) {
    if (rows < kBlock || row >= rows) return;
    for (int i = 0; i < head->width; i += kPanel) __builtin_prefetch(part + row * part_stride + i);
  }

  INLINE int8_t* packed_key(int j) {
    return keys + ((size_t)(j / kPanel) * quads(head->width) * kPanel + j % kPanel) * kQuad;
  }

  INLINE void pack_key(int j) {
    const float* from = head->key + j * head->stride;
    const int32_t top = largest(from, head->width);
    const float step = step_of(top);
    const Floats inverse = splat(step > 0 ? 1 / step : 0);
    int8_t* to = packed_key(j);
    poison += poison_of(top);
    key_scale[j] = step * head->scale * kLog2E;
    each_vector(head->width, [&](int i, int count) {
      const Bytes bytes = __builtin_convertvector(rounded(load(from + i, count) * inverse), Bytes);
      uint8_t lanes[kLanes];
      store_as(lanes, bytes);
      for (int l = 0; l < count; l += kQuad) memcpy(to + (i + l) * kPanel, lanes + l, kQuad);
    });
  }

  // Pads the last panel with zero keys, and sums up keys for the queries' zero point, as dot products with ones.
  INLINE void finish_keys() {
    const int k = quads(head->width);
    for (int j = head->tokens; j < (int)round_up(head->tokens, kPanel); ++j) {
      key_scale[j] = 0;
      for (int i = 0; i < k; ++i) memset(packed_key(j) + i * kPanel * kQuad, 0, kQuad);
    }
    for (int j = 0; j < (int)round_up(head->tokens, kPanel); j += kLanes) {
      Ints sums = Ints(0);
      for (int i = 0; i < k; ++i) sums = dot4(sums, Ints(0x01010101), load_as<Ints>(packed_key(j) + i * kPanel * kQuad));
      store_as(key_start + j, sums * -kQueryZero);
    }
  }

  INLINE void pack_values(int i) {
    const int count = head->width - i >= kLanes ? kLanes : head->width > i ? head->width - i : 0;
    const float* from = head->value + i;
    Ints largest = magnitude(splat(kSmallestRange));
    for (int j = 0; j < head->tokens; ++j) {
      if (i == 0) fetch_row(head->value, head->stride, j + kRowsAhead, head->tokens);
      largest = max(largest, magnitude(load(from + j * head->stride, count)));
    }
    poison += poison_of(max_of(largest));
    const Floats tops = as_floats(largest);
    store(value_scale + i, tops * splat(1.0f / kValueMax));
    const Floats inverse = splat(kValueMax) / tops;
    const int pairs = (head->tokens + 1) / 2;
    int16_t* to = values + ((size_t)(i / kPanel) * pairs * kPanel + i % kPanel) * 2;
    for (int j = 0; j < head->tokens; j += 2) {
      Ints both = rounded(load(from + j * head->stride, count) * inverse) & 0xffff;
      if (j + 1 < head->tokens) both |= rounded(load(from + (j + 1) * head->stride, count) * inverse) << 16;
      store_as(to + (size_t)j * kPanel, both);
    }
  }

  // A tile with fewer rows also computes with stale rows of the previous tile, and does not write them.
  void queries(int row, int rows) {
    for (int r = 0; r < rows; ++r) {
      fetch_row(head->query, head->query_stride, row + r + kRows, head->queries);
      const float* from = head->query + (row + r) * head->query_stride;
      const int32_t top = largest(from, head->width);
      s.poison[r] = poison_of(top) + poison;
      query_scale[r] = step_of(top);
      const Floats inverse = splat(query_scale[r] > 0 ? 1 / query_scale[r] : 0);
      each_vector(head->width, [&](int i, int count) {
        const Ints steps = rounded(load(from + i, count) * inverse) + kQueryZero;
        const Bytes bytes = __builtin_convertvector(steps, Bytes);
        memcpy(query + r * stride + i, &bytes, count);
      });
    }
  }

  template <int P>
  INLINE void score_panels(int row, int first, int panel) {
    constexpr int V = P * kVectors;
    const int key = panel * kPanel, k = quads(head->width);
    Ints sums[kRows][V];
    UNROLL for (int v = 0; v < V; ++v) {
      const Ints start = load_as<Ints>(key_start + first + key + v * kLanes);
      UNROLL for (int r = 0; r < kRows; ++r) sums[r][v] = start;
    }
    const size_t size = (size_t)k * kPanel * kQuad;
    dots<kRows, V>(query, stride, keys + (first / kPanel + panel) * size, k, size, sums);
    UNROLL for (int v = 0; v < V; ++v) {
      const Floats scale = load(key_scale + first + key + v * kLanes);
      UNROLL for (int r = 0; r < kRows; ++r) {
        const Floats score = to_float(sums[r][v]) * scale * splat(query_scale[r]);
        store(s.scores + r * kBlock + key + v * kLanes, biased(*head, s, score, row + r, first + key + v * kLanes));
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

  // Sums up the rounded weights, so that they still add up to one.
  INLINE float exponents(int r, int count, float top) {
    const float* scores = s.scores + r * kBlock;
    int16_t* to = weights + r * kBlock;
    const Floats below = splat(top - 14.99995598f);  // log2(kWeightMax)
    Ints sums = Ints(0);
    each_vector(count, [&](int i, int lanes) {
      const Ints steps = rounded(first_lanes(exp2_coarsely(load(scores + i) - below), lanes, splat(0)));
      store_as(to + i, __builtin_convertvector(steps, Shorts));
      sums += steps;
    });
    return sum_of(to_float(sums));
  }

  // Clears whole pairs, in which values are multiplied.
  INLINE void clear(int r, int from, int to) {
    for (int i = from; i < (int)round_up(to, 2); ++i) weights[r * kBlock + i] = 0;
  }

  template <int P>
  INLINE void value_panels(int first, int count, int column) {
    constexpr int V = P * kVectors;
    const int pairs = (head->tokens + 1) / 2;
    const int16_t* from = values + ((size_t)(column / kPanel) * pairs + first / 2) * kPanel * 2;
    const int16_t* weight = weights;
    Ints sums[kRows][V];
    UNROLL for (int r = 0; r < kRows; ++r) {
      UNROLL for (int v = 0; v < V; ++v) sums[r][v] = Ints(0);
    }
    for (int t = 0; t < (count + 1) / 2; ++t) {
      mark_step<kRows, V>();
      Ints value[V];
      UNROLL for (int v = 0; v < V; ++v) {
        const size_t panel = (size_t)(v / kVectors) * pairs + t;
        value[v] = load_as<Ints>(from + (panel * kPanel + v % kVectors * kLanes) * 2);
      }
      UNROLL for (int r = 0; r < kRows; ++r) {
        const int32_t pair = four_bytes(weight + r * kBlock + 2 * t);
        UNROLL for (int v = 0; v < V; ++v) sums[r][v] = dot2(sums[r][v], pair, value[v]);
        keep_order(sums[r]);
      }
    }
    UNROLL for (int r = 0; r < kRows; ++r) {
      UNROLL for (int v = 0; v < V; ++v) {
        float* context = s.context + r * padded + column + v * kLanes;
        store(context, load(context) + to_float(sums[r][v]));
      }
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
      store(out + i, load(s.context + r * padded + i) * (load(value_scale + i) * splat(factor)), count);
    });
  }

  Shared& s;
  int8_t* keys;         // packed like a weight: [panels(tokens)][quads(width)][16][4]
  float* key_scale;     // [tokens, padded], multiplied by scale and log2(e)
  int32_t* key_start;   // [tokens, padded], the negated contribution of the queries' zero point to a product
  int16_t* values;      // [panels(width)][pairs of tokens][16][2]
  float* value_scale;   // [width, padded]
  uint8_t* query;       // [kRows][stride]
  int16_t* weights;     // [kRows][kBlock]
  const AttentionHead* head = nullptr;
  float query_scale[kRows] = {};
  size_t stride = 0;
  float poison = 0;
  int padded = 0;
};

size_t scratch_in_integers(int tokens, int width) {
  Arena arena(nullptr);
  Shared shared(arena, tokens, width);
  IntegerAttention(arena, tokens, width, shared);
  return arena.used();
}

void attention_in_integers(const AttentionHead& head, void* scratch) {
  Arena arena(scratch);
  Shared shared(arena, head.tokens, head.width);
  IntegerAttention method(arena, head.tokens, head.width, shared);
  method.pack(head);
  attend(head, shared, method);
}

}  // namespace
}  // namespace cpu2vec
