// The table of all kernels of one instruction set, whose name is CPU2VEC_ISA.
#pragma once
#if defined(CPU2VEC_AMX)
#include "simd_linear_amx.h"
#elif defined(CPU2VEC_I8MM)
#include "simd_linear_i8mm.h"
#else
#include "simd_linear.h"
#endif
#include "simd_attention_floats.h"
#ifdef CPU2VEC_HAS_DOT2
#include "simd_attention_integers.h"
#endif
#include "simd_norm.h"

namespace cpu2vec {
namespace {

#ifdef CPU2VEC_HAS_DOT2
// For shorter texts, packing keys and values as integers costs more than it saves.
constexpr int kIntegersFrom = 17;

INLINE bool in_integers(int tokens) { return tokens >= kIntegersFrom; }

size_t attention_scratch(int tokens, int width) {
  return in_integers(tokens) ? scratch_in_integers(tokens, width) : scratch_in_floats(tokens, width);
}

void attention(const AttentionHead& head, void* scratch) {
  in_integers(head.tokens) ? attention_in_integers(head, scratch) : attention_in_floats(head, scratch);
}
#else
size_t attention_scratch(int tokens, int width) { return scratch_in_floats(tokens, width); }

void attention(const AttentionHead& head, void* scratch) { attention_in_floats(head, scratch); }
#endif

}  // namespace

#define CPU2VEC_JOIN_(a, b) a##b
#define CPU2VEC_JOIN(a, b) CPU2VEC_JOIN_(a, b)
#define CPU2VEC_TEXT_(a) #a
#define CPU2VEC_TEXT(a) CPU2VEC_TEXT_(a)

extern const Kernels CPU2VEC_JOIN(kernels_, CPU2VEC_ISA);
const Kernels CPU2VEC_JOIN(kernels_, CPU2VEC_ISA) = {
    CPU2VEC_TEXT(CPU2VEC_ISA), kActivationBytes, quantize, matmul, add_norm, embed, attention_scratch, attention,
#ifdef CPU2VEC_BENCH
    spin,
#endif
};

}  // namespace cpu2vec
