// What an instruction set implements: a table of functions, and the layouts that they read.
#pragma once
#include <cstddef>
#include <cstdint>

namespace cpu2vec {

constexpr int kLevels = 255;        // activations are quantized to 0..kLevels
constexpr int kPanel = 16;          // output channels that are adjacent in a packed weight
constexpr int kMostActivationBytes = 2;  // of a quantized activation in memory, see Kernels
constexpr int kQuad = 4;            // input channels that are adjacent within one channel of a panel
constexpr int kMaxGroupSize = 320;  // the most input channels that share a scale
constexpr int kRowAlignment = 64;   // bytes: each row of quantized activations starts on a multiple of this
constexpr int kRowMultiple = 32;    // rows of quantized activations are allocated in multiples of this
constexpr int kAlignment = 64;      // bytes: the alignment of packed weights and of scratch memory
constexpr float kSmallestRange = 1e-35f;  // a row of activations with a smaller range is treated as constant

constexpr int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }
constexpr int panels(int n) { return (n + kPanel - 1) / kPanel; }
constexpr int quads(int k) { return (k + kQuad - 1) / kQuad; }

// Adjacent input channels form groups; activations and weights have one scale per group. There are as few groups as
// can hold all k channels, and all but the last have the same width. A group begins where a row of tiles does.
constexpr int groups(int k) { return (k + kMaxGroupSize - 1) / kMaxGroupSize; }
constexpr int group_width(int k) { return (int)round_up((k + groups(k) - 1) / groups(k), kRowAlignment); }
constexpr int group_end(int k, int g) { return (g + 1) * group_width(k) < k ? (g + 1) * group_width(k) : k; }

enum class Activation { kNone, kGelu, kGeluTanh, kRelu, kSilu, kTanh, kQuickGelu };
constexpr int kActivations = 7;

// Which keys of its text a query attends to.
enum class Mask { kNone, kCausal };
constexpr int kMasks = 2;

// A linear map from k to n channels: y = x W + bias, where W[i][j] = scale[group of i][j] * w[i][j] and w is int8.
struct Weight {
  const int8_t* packed;  // [panels(n)][quads(k)][16][4], padded with zeros
  const float* scale;    // [groups(k)][n]
  const int32_t* sums;   // [groups(k)][n], the sum of w over each group
  const float* bias;     // [n]
  const float* smooth;   // [k] or null: x * smooth
  const float* shift;    // [k] or null: the product reads x * smooth - shift
  int k, n;
};

// Rows of quantized activations: x[r][i] is approximately scale[r][g] * q[r][i] + low[r][g], where g is the group of i.
// If a value of a row's group is not finite, the group's scale and low are NaN, and so are the row's products.
struct QuantizedRows {
  uint8_t* q;     // of one or two bytes each, see Kernels
  size_t stride;  // bytes from row to row
  float* scale;   // [rows][groups(k)]
  float* low;
  int32_t* missing;  // [rows][groups(k)], what the kernels' own integer sums lack; only read where activation_bytes is 2
};

// Rows of floats, starting at one of their columns.
template <class T>
struct Rows {
  T* data;
  size_t stride;  // floats from row to row
};

// One head over one text. Keys and values are those of all its tokens, queries of all or some.
struct AttentionHead {
  const float *query, *key, *value;
  size_t query_stride, stride;  // floats from row to row; the second is of key and value
  int queries, tokens, width;
  const int64_t* rows;  // [queries], the batch's row of each query's token; null: query i is of token i
  int64_t first_row;    // of the text's first token
  float scale;        // multiplies the products of query and key
  const float* bias;  // [2 * reach - 1] or null: added to a product, by the key's clipped distance from the query
  int reach;
  Mask mask;
  float* out;
  size_t out_stride;

  int position(int query) const { return rows ? (int)(rows[query] - first_row) : query; }
  // How many keys a query attends to: the first ones. Later queries attend to no fewer.
  int keys(int query) const { return mask == Mask::kCausal ? position(query) + 1 : tokens; }
};

struct Norm {
  const float *gamma, *beta;  // [n]
  float epsilon;
};

// Stateless functions; any of them may run on any thread.
struct Kernels {
  const char* name;
  int activation_bytes;  // of a quantized activation in memory: 1, or 2 if masks are stored beside magnitudes

  // Quantizes the channels of one of the weight's groups; x begins with the group's first channel.
  void (*quantize)(Rows<const float> x, int rows, const Weight& w, int group, const QuantizedRows& to);
  // y = activation(x W + bias) for the columns of panels [begin, end); y begins with the first of them.
  void (*matmul)(const QuantizedRows& x, int rows, const Weight& w, int begin, int end, Activation activation,
                 Rows<float> y);
  // y = LayerNorm(x + residual); residual and norm may be null, and y may be x.
  void (*add_norm)(const float* x, const float* residual, int rows, int n, const Norm* norm, float* y);
  // out[n] = LayerNorm(word * scale + position); position and norm may be null.
  void (*embed)(const int8_t* word, float scale, const float* position, const float* type, int n, const Norm* norm,
                float* out);
  size_t (*attention_scratch)(int tokens, int width);  // bytes, linear in tokens
  void (*attention)(const AttentionHead& head, void* scratch);
#ifdef CPU2VEC_BENCH
  double (*spin)(long rounds);  // runs the dot product on registers alone; returns the number of operations
#endif
};

}  // namespace cpu2vec
