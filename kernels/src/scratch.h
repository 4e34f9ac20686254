// Memory that each thread keeps between ops: fresh pages for every op would cost more time than small ops take.
#pragma once
#include <cstddef>

namespace cpu2vec {

enum class ScratchUse {
  kQuantized,
  kScales,
  kNormalized,
  kHidden,
  kQuantizedHidden,
  kScalesOfHidden,
  kAttention,
  kEncoder,  // from step to step; all others are of one step
};
constexpr int kScratchUses = 8;

// Returns memory aligned to kAlignment, valid until the thread's next call for the same use; null if there is none.
void* scratch(ScratchUse use, size_t bytes);

// Frees the buffers up to `last` that are too large to keep, such as those of a text of thousands of tokens.
void trim_scratch(ScratchUse last = ScratchUse::kAttention);

}  // namespace cpu2vec
