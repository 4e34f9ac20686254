// Memory that a thread keeps from op to op: fresh pages for every op would cost more than small ops take.
#pragma once
#include <cstddef>

namespace cpu2vec {

enum class ScratchUse { kQuantized, kScales, kHidden, kQuantizedHidden, kScalesOfHidden, kAttention };
constexpr int kScratchUses = 6;

// Aligned to kAlignment, valid until the thread's next call for the same use; null where there is no memory.
void* scratch(ScratchUse use, size_t bytes);

// Gives back what is too large to keep: a text of thousands of tokens leaves nothing behind.
void trim_scratch();

}  // namespace cpu2vec
