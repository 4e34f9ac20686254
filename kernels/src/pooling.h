// One vector for each text, from the rows that were computed of it.
#pragma once
#include "ops.h"

namespace cpu2vec {

// Of each text: the mean of its tokens [begin, end), and whether it is normalized to unit length.
struct PooledText {
  int64_t begin, end, normalizes;
};

Error check_pooled(const PooledText* pooled, int64_t texts);

// y[texts][width] from x[queries][width]. `rows`: the tokens that x has, ascending, or null: all. A mean of no rows is
// zero, and a vector of zeros stays as it is when it is normalized.
void pool(const PooledText* pooled, const Lengths&, const int64_t* rows, int64_t queries, const float* x, int64_t width,
          float* y);

}  // namespace cpu2vec
