// The ops over whole batches: their checks, the blocks that keep data in cache, and the distribution over threads.
#pragma once
#include "error.h"
#include "kernels.h"

namespace cpu2vec {

struct PooledText;

// Calls body(data, i) for every i in [0, count), on up to `count` threads, and returns when all calls are done.
struct Threads {
  int count;
  void* context;
  void (*run)(void* context, int count, void (*body)(void* data, size_t i), void* data);
};

// Lengths of texts that are concatenated without padding.
struct Lengths {
  const int64_t* of;
  int64_t texts;
};

// The tokens of all texts.
struct Tokens {
  const int64_t *ids, *types;  // types may be null
  int64_t count;
  Lengths lengths;
};

struct EmbeddingTables {
  const int8_t* word;     // [words][width]
  const float* scale;     // [words]
  const float* position;  // [positions][width] or null
  int64_t words, positions, first_position;
  int width;
  const Norm* norm;   // or null
  const float* type;  // [types][width] or null
  int64_t types;
};

struct LinearStep {
  Weight weight;
  Activation activation;
  const float* residual;   // [rows][n] or null
  const Norm* norm;        // of the result, or null
  const Norm* input_norm;  // of what the product reads, or null
};

struct AttentionShape {
  int heads, width;   // of one head
  float scale;
  const float* bias;  // [heads][2 * reach - 1] or null
  int reach;
  Mask mask;
};

// Queries, keys and values of all heads.
struct AttentionInput {
  Rows<const float> query, key, value;
  const int64_t* rows;  // [queries], the tokens that have one, ascending; null: all
  int64_t queries;
};

// The steps of a transformer layer. The residual of `output` is what the layer reads.
struct EncoderLayer {
  LinearStep joined;  // to queries, keys and values; in a layer with `query`, to keys and values
  LinearStep query;   // only of the last layer, where it computes some rows alone
  LinearStep output, first, second;
};

struct EncoderSteps {
  EmbeddingTables tables;
  const EncoderLayer* layers;
  int count;  // of layers
  AttentionShape attention;
};

// The tokens have types if the tables do.
Error embedding(const Kernels&, const Tokens&, const EmbeddingTables&, float* y);
Error linear(const Kernels&, const Threads&, const float* x, int64_t rows, const LinearStep&, float* y);
// y = LayerNorm(x + second(first(x))); the residual of both steps is ignored, the second's is x. The second's input has
// no norm.
Error feed_forward(const Kernels&, const Threads&, const float* x, int64_t rows, const LinearStep& first,
                   const LinearStep& second, float* y);
// `rows`: the tokens of all texts. Writes a row for each query.
Error attention(const Kernels&, const Threads&, const AttentionInput&, int64_t rows, const Lengths&,
                const AttentionShape&, float* y);
// Embedding and layers, from tokens to `y`: a row for each token, or for each of `rows`, which ascend; with `pooled`
// [texts], a row for each text.
Error encoder(const Kernels&, const Threads&, const Tokens&, const EncoderSteps&, const int64_t* rows, int64_t queries,
              const PooledText* pooled, float* y);

}  // namespace cpu2vec
