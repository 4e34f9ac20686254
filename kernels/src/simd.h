// Vectors of one instruction set, chosen by the compiler's flags and CPU2VEC_VECTOR_BYTES: arithmetic, sums, products.
// Only the isa_*.cpp files include this. Everything is in an unnamed namespace: the linker must never use code that was
// compiled for one instruction set in place of another's.
#pragma once
#include <cstdint>
#include <cstring>

#include "kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define UNROLL _Pragma("clang loop unroll(full)")
#define INLINE inline __attribute__((always_inline))

namespace cpu2vec {
namespace {

// A product keeps kRows x (kColumns * kVectors) sums in registers while it runs over k.
#if CPU2VEC_VECTOR_BYTES == 64
constexpr int kLanes = 16, kRows = 8, kColumns = 3;
#elif CPU2VEC_VECTOR_BYTES == 32 && (defined(__AVXVNNI__) || defined(__AVX512VNNI__))
constexpr int kLanes = 8, kRows = 6, kColumns = 1;  // 12 sums hide the dot product's latency; 8 would not
#elif CPU2VEC_VECTOR_BYTES == 32
constexpr int kLanes = 8, kRows = 4, kColumns = 1;
#elif CPU2VEC_VECTOR_BYTES == 16
constexpr int kLanes = 4, kRows = 4, kColumns = 1;
#else
#error "CPU2VEC_VECTOR_BYTES must be 16, 32 or 64"
#endif
constexpr int kVectors = kPanel / kLanes;  // per panel

typedef float Floats __attribute__((ext_vector_type(kLanes)));
typedef int32_t Ints __attribute__((ext_vector_type(kLanes)));
typedef uint8_t Bytes __attribute__((ext_vector_type(kLanes)));
typedef int16_t Shorts __attribute__((ext_vector_type(kLanes)));

// Loads and stores accept any alignment.
template <class V>
INLINE V load_as(const void* p) {
  V v;
  memcpy(&v, p, sizeof v);
  return v;
}
template <class V>
INLINE void store_as(void* p, V v) {
  memcpy(p, &v, sizeof v);
}
INLINE Floats load(const float* p) { return load_as<Floats>(p); }
INLINE void store(float* p, Floats v) { store_as(p, v); }
INLINE Floats splat(float x) { return Floats(x); }
INLINE Floats to_float(Ints a) { return __builtin_convertvector(a, Floats); }
INLINE Ints as_ints(Floats a) { return load_as<Ints>(&a); }
INLINE Floats as_floats(Ints a) { return load_as<Floats>(&a); }
INLINE int32_t four_bytes(const void* p) { return load_as<int32_t>(p); }

// Loads and stores of the first `count` lanes: others are read as `fill` and not written.
INLINE Floats load(const float* p, int count, float fill = 0) {
  if (count == kLanes) return load(p);
  Floats v = splat(fill);
  float lanes[kLanes];
  store(lanes, v);
  for (int i = 0; i < count; ++i) lanes[i] = p[i];
  return load(lanes);
}
INLINE Ints load(const int32_t* p, int count) {
  if (count == kLanes) return load_as<Ints>(p);
  Ints v = Ints(0);
  for (int i = 0; i < count; ++i) v[i] = p[i];
  return v;
}
INLINE void store(float* p, Floats v, int count) {
  if (count == kLanes) return store(p, v);
  float lanes[kLanes];
  store(lanes, v);
  for (int i = 0; i < count; ++i) p[i] = lanes[i];
}

// Calls body(i, count) over [0, n), one vector at a time; the last one may be shorter.
template <class F>
INLINE void each_vector(int n, F body) {
  int i = 0;
  for (; i + kLanes <= n; i += kLanes) body(i, kLanes);
  if (i < n) body(i, n - i);
}

// Does the same for two chains of dependent operations: body(i, count, chain), where chain is 0 or 1.
template <class F>
INLINE void each_vector_of_two(int n, F body) {
  int i = 0;
  for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
    body(i, kLanes, 0);
    body(i + kLanes, kLanes, 1);
  }
  if (i + kLanes <= n) body(i, kLanes, 0), i += kLanes;
  if (i < n) body(i, n - i, 1);
}

constexpr float kRounder = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer, halves to even

// NOTE: for a NaN and a number, x86 returns the second operand and ARM the NaN, so kernels check for NaN themselves.
#if CPU2VEC_VECTOR_BYTES == 64
INLINE Floats fma(Floats a, Floats b, Floats c) { return (Floats)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c); }
INLINE Floats max(Floats a, Floats b) { return (Floats)_mm512_max_ps((__m512)a, (__m512)b); }
INLINE Floats min(Floats a, Floats b) { return (Floats)_mm512_min_ps((__m512)a, (__m512)b); }
INLINE Ints rounded(Floats a) { return (Ints)_mm512_cvtps_epi32((__m512)a); }
#elif CPU2VEC_VECTOR_BYTES == 32
INLINE Floats fma(Floats a, Floats b, Floats c) { return (Floats)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c); }
INLINE Floats max(Floats a, Floats b) { return (Floats)_mm256_max_ps((__m256)a, (__m256)b); }
INLINE Floats min(Floats a, Floats b) { return (Floats)_mm256_min_ps((__m256)a, (__m256)b); }
INLINE Ints rounded(Floats a) { return (Ints)_mm256_cvtps_epi32((__m256)a); }
#else
INLINE Floats fma(Floats a, Floats b, Floats c) {
  return (Floats)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
}
INLINE Floats max(Floats a, Floats b) { return (Floats)vmaxq_f32((float32x4_t)a, (float32x4_t)b); }
INLINE Floats min(Floats a, Floats b) { return (Floats)vminq_f32((float32x4_t)a, (float32x4_t)b); }
INLINE Ints rounded(Floats a) { return (Ints)vcvtnq_s32_f32((float32x4_t)a); }
#endif

// Magnitudes as integers are ordered as the floats are, with infinity and NaN above all finite values.
constexpr int32_t kInfinity = 0x7f800000;
INLINE Ints magnitude(Floats a) { return as_ints(a) & 0x7fffffff; }
INLINE Ints max(Ints a, Ints b) { return a > b ? a : b; }
INLINE float float_of(int32_t bits) { return load_as<float>(&bits); }

// Returns the first `count` lanes of `v`, and `fill` in the others; `count` may exceed kLanes.
INLINE Floats first_lanes(Floats v, int count, Floats fill) {
  static const int32_t kNumbers[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return load_as<Ints>(kNumbers) < Ints(count) ? v : fill;
}

// Reductions over all lanes, by halves.
INLINE float sum_of(float v) { return v; }
template <class V>
INLINE float sum_of(V v) {
  return sum_of(v.lo + v.hi);
}
template <class V>
INLINE auto max_of(V v) {
  if constexpr (sizeof v == 8) return v.x > v.y ? v.x : v.y;
  else return max_of(v.lo > v.hi ? v.lo : v.hi);
}
template <class V>
INLINE float min_of(V v) {
  return -max_of(-v);
}

// Activations in memory: their values, 0..kLevels, minus kActivationOffset. A Quad is four adjacent ones, the same for all
// lanes. dot4 adds to sums[i] the products of a quad and of four adjacent weights, exactly, except for what `missing`
// returns for each activation: QuantizedRows has the sums of that.
#if defined(__AVX2__) && !defined(__AVX512VNNI__) && !defined(__AVXVNNI__)
// The product adds pairs in 16 bits, in which 2 * 255 * 127 does not fit, but 2 * 128 * 128 does: it multiplies the
// magnitudes of signed activations by weights, which are inverted where the activation is negative. As -w is ~w + 1, the
// magnitudes of a row's negative activations are missing in each of its sums. A quad is stored as masks and magnitudes.
constexpr int kActivationBytes = 2, kActivationOffset = 128;
struct Quad {
  Ints masks, magnitudes;
};
INLINE Quad load_quad(const uint8_t* q) { return {Ints(four_bytes(q)), Ints(four_bytes(q + kQuad))}; }
INLINE void store_activations(uint8_t* q, Ints values) {
  const Bytes a = __builtin_convertvector(values >> 31, Bytes);
  const Bytes b = __builtin_convertvector(values < 0 ? -values : values, Bytes);
  store_as(q, __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 12, 13, 14, 15));
}
INLINE Ints missing(Ints values) { return values < 0 ? -values : Ints(0); }
INLINE Ints dot4(Ints sums, Quad a, Ints weights) {
  const __m256i pairs = _mm256_maddubs_epi16((__m256i)a.magnitudes, (__m256i)(weights ^ a.masks));
  return sums + (Ints)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
}
#else
constexpr int kActivationBytes = 1;
typedef Ints Quad;
INLINE Quad load_quad(const uint8_t* q) { return Ints(four_bytes(q)); }
INLINE void store_activations(uint8_t* q, Ints values) { store_as(q, __builtin_convertvector(values, Bytes)); }
INLINE Ints missing(Ints) { return Ints(0); }
#if CPU2VEC_VECTOR_BYTES == 64
constexpr int kActivationOffset = 0;
INLINE Ints dot4(Ints sums, Quad a, Ints weights) {
  return (Ints)_mm512_dpbusd_epi32((__m512i)sums, (__m512i)a, (__m512i)weights);
}
#elif defined(__AVXVNNI__)
constexpr int kActivationOffset = 0;
INLINE Ints dot4(Ints sums, Quad a, Ints weights) {
  return (Ints)_mm256_dpbusd_avx_epi32((__m256i)sums, (__m256i)a, (__m256i)weights);
}
#elif defined(__AVX512VNNI__)  // AVX-VNNI's instruction in AVX-512's encoding, for tests on CPUs without AVX-VNNI
constexpr int kActivationOffset = 0;
INLINE Ints dot4(Ints sums, Quad a, Ints weights) {
  return (Ints)_mm256_dpbusd_epi32((__m256i)sums, (__m256i)a, (__m256i)weights);
}
#elif defined(__ARM_FEATURE_DOTPROD)  // signed by signed
constexpr int kActivationOffset = 128;
INLINE Ints dot4(Ints sums, Quad a, Ints weights) {
  return (Ints)vdotq_s32((int32x4_t)sums, (int8x16_t)weights, (int8x16_t)a);
}
// Does the same with one of the four quads of `a`.
template <int lane>
INLINE Ints dot4_lane(Ints sums, Ints a, Ints weights) {
  return (Ints)vdotq_laneq_s32((int32x4_t)sums, (int8x16_t)weights, (int8x16_t)a, lane);
}
#else
#error "this instruction set has no known 8-bit dot product"
#endif
#endif

// Adds to sums[i] the products of two adjacent 16-bit numbers.
#if defined(__AVX512VNNI__) || defined(__AVXVNNI__)
#define CPU2VEC_HAS_DOT2
#if CPU2VEC_VECTOR_BYTES == 64
INLINE Ints dot2(Ints sums, int32_t a, Ints b) {
  return (Ints)_mm512_dpwssd_epi32((__m512i)sums, _mm512_set1_epi32(a), (__m512i)b);
}
#elif defined(__AVXVNNI__)
INLINE Ints dot2(Ints sums, int32_t a, Ints b) {
  return (Ints)_mm256_dpwssd_avx_epi32((__m256i)sums, _mm256_set1_epi32(a), (__m256i)b);
}
#else
INLINE Ints dot2(Ints sums, int32_t a, Ints b) {
  return (Ints)_mm256_dpwssd_epi32((__m256i)sums, _mm256_set1_epi32(a), (__m256i)b);
}
#endif
#endif

}  // namespace
}  // namespace cpu2vec
