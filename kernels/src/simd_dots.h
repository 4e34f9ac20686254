// The inner loops of products: rows of quantized activations times columns of a packed weight. Sums stay in registers,
// and each row's activations are loaded just before their products, see docs/kernels.md.
#pragma once
#include "simd.h"

namespace cpu2vec {
namespace {

// Marks a step of an inner loop of dot products: `rows` x `vectors` sums, and `ahead` prefetches. It is an entry of a
// section that is not loaded, and no instruction. A test finds the loops by these entries, to check their instructions.
template <int rows, int vectors, int ahead = 0>
INLINE void mark_step() {
  __asm__ volatile("0:\n\t.pushsection .cpu2vec.loops,\"\",%%progbits\n\t.quad 0b, %c0, %c1, %c2\n\t.popsection" ::"i"(rows),
                   "i"(vectors), "i"(ahead));
}

// Keeps a loop in the order in which it is written: loads are not moved across this line, and the sums before it stay in
// registers. Compilers would otherwise begin a step with the loads of all its rows, for which too few registers are left
// beside the sums.
template <class Vector, int V>
INLINE void keep_order(Vector (&sums)[V]) {
#if defined(__x86_64__)
  UNROLL for (int v = 0; v < V; ++v) __asm__ volatile("" : "+v"(sums[v])::"memory");
#elif defined(__aarch64__)
  UNROLL for (int v = 0; v < V; ++v) __asm__ volatile("" : "+w"(sums[v])::"memory");
#endif
}

// The distances of rows in memory. The compiler does not know that they are multiples of `stride`, and so uses them as
// they are, in registers, instead of adding up strides in every step.
struct RowOffsets {
  explicit RowOffsets(size_t stride) : one(stride), three(3 * stride), five(5 * stride), seven(7 * stride) {
    __asm__("" : "+r"(three), "+r"(five), "+r"(seven));
  }
  INLINE size_t operator[](int row) const {
    switch (row) {
      case 3: return three;
      case 5: return five;
      case 6: return 2 * three;
      case 7: return seven;
      default: return row * one;
    }
  }
  size_t one, three, five, seven;
};

// Weights to prefetch while others are multiplied: a line of kPanel x kQuad bytes per quad of input channels, from each
// of `panels` panels. With no panels, `packed` may be any address.
struct Ahead {
  const int8_t* packed;
  int panels;
};

constexpr size_t kLine = kPanel * kQuad;

// Adds the products of one quad of input channels: the activations of R rows, times a line of each of some panels.
template <int R, int V, class Activations, class Dot>
INLINE void dots_of_quad(Activations activations, Dot dot, const int8_t* packed, size_t panel, Ints (&sums)[R][V]) {
  Ints weights[V];
  UNROLL for (int v = 0; v < V; ++v) {
    weights[v] = load_as<Ints>(packed + v / kVectors * panel + v % kVectors * kLanes * kQuad);
  }
  UNROLL for (int r = 0; r < R; ++r) {
    const auto a = activations(r);
    UNROLL for (int v = 0; v < V; ++v) sums[r][v] = dot(sums[r][v], a, weights[v]);
    keep_order(sums[r]);
  }
}

// Adds rows of activations times columns of a packed weight, over k quads, to `sums`, and prefetches A panels from
// `ahead` on; panels are `panel` bytes apart.
template <int R, int V, int A = 0>
INLINE void dots(const uint8_t* q, size_t stride, const int8_t* packed, int k, size_t panel, Ints (&sums)[R][V],
                 const int8_t* ahead = nullptr) {
  const RowOffsets offsets(stride);
  const int8_t* end = packed + k * kLine;
#if defined(__aarch64__)
  // Four quads of a row are loaded at once, and used lane by lane: a load into all lanes would use the pipelines of the
  // products.
  for (; k >= kLanes; k -= kLanes) {
    mark_step<R, V, A>();
    Ints a[R];
    UNROLL for (int r = 0; r < R; ++r) a[r] = load_as<Ints>(q + offsets[r]);
    const auto row = [&](int r) { return a[r]; };
    UNROLL for (int p = 0; p < A; ++p) {
      UNROLL for (int i = 0; i < kLanes; ++i) __builtin_prefetch(ahead + p * panel + i * kLine, 0, 2);
    }
    dots_of_quad(row, dot4_lane<0>, packed, panel, sums);
    dots_of_quad(row, dot4_lane<1>, packed + kLine, panel, sums);
    dots_of_quad(row, dot4_lane<2>, packed + 2 * kLine, panel, sums);
    dots_of_quad(row, dot4_lane<3>, packed + 3 * kLine, panel, sums);
    q += kLanes * kQuad, packed += kLanes * kLine;
    if (A) ahead += kLanes * kLine;
  }
  for (; packed != end; q += kQuad, packed += kLine)
    dots_of_quad([&](int r) { return load_quad(q + offsets[r]); }, dot4, packed, panel, sums);
#else
  do {
    mark_step<R, V, A>();
    UNROLL for (int p = 0; p < A; ++p) __builtin_prefetch(ahead + p * panel, 0, 2);
    dots_of_quad([&](int r) { return load_quad(q + offsets[r]); }, dot4, packed, panel, sums);
    q += kQuad * kActivationBytes, packed += kLine;
    if (A) {
      ahead += kLine;
      __asm__("" : "+r"(ahead), "+r"(panel));  // keeps both in registers, which compilers otherwise use up elsewhere
    }
  } while (packed != end);
#endif
}

template <int A, int R, int V>
INLINE void dots_and_prefetch(const uint8_t* q, size_t stride, const int8_t* packed, int k, size_t panel,
                              Ints (&sums)[R][V], const Ahead& ahead) {
  if (ahead.panels == A) return dots<R, V, A>(q, stride, packed, k, panel, sums, ahead.packed);
  if constexpr (A > 0) dots_and_prefetch<A - 1>(q, stride, packed, k, panel, sums, ahead);
}

}  // namespace
}  // namespace cpu2vec
