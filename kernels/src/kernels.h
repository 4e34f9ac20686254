// What an instruction set implements: one table of functions, and the layouts that they read.
#pragma once
#include <cstddef>
#include <cstdint>

namespace cpu2vec {

constexpr int kPanel = 16;        // output channels that lie together in a packed weight
constexpr int kQuad = 4;          // input channels that lie together for one channel of a panel
constexpr int kRowAlignment = 64; // bytes: a row of quantized activations starts on a multiple of this
constexpr int kRowMultiple = 32;  // rows of quantized activations are allocated in multiples of this
constexpr float kSmallestRange = 1e-35f;  // of a row of activations; below, all of them count as the lowest
constexpr int kAlignment = 64;    // bytes: of packed weights and of scratch memory
constexpr int kMaxGroupSize = 320;  // input channels that share a scale

constexpr int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }
constexpr int panels(int n) { return (n + kPanel - 1) / kPanel; }
constexpr int quads(int k) { return (k + kQuad - 1) / kQuad; }

// Neighbouring input channels form groups with scales of their own, of activations and of weights: as few as hold all
// k, and all but the last as wide. A group begins where a row of tiles does.
constexpr int groups(int k) { return (k + kMaxGroupSize - 1) / kMaxGroupSize; }
constexpr int group_width(int k) { return (int)round_up((k + groups(k) - 1) / groups(k), kRowAlignment); }
constexpr int group_end(int k, int g) { return (g + 1) * group_width(k) < k ? (g + 1) * group_width(k) : k; }

enum class Activation { kNone, kGelu, kGeluTanh, kRelu, kSilu, kTanh };

// A linear map from k to n channels: y = x W + bias, with W[i][j] = scale[group of i][j] * w[i][j] and w in 8 bits.
struct Weight {
  const int8_t* packed;  // [panels(n)][quads(k)][16][4], padded with zeros
  const float* scale;    // [groups(k)][n]
  const int32_t* sums;   // [groups(k)][n], the sum of w over a group
  const float* bias;     // [n]
  const float* smooth;   // [k] or null: x * smooth
  const float* shift;    // [k] or null: x * smooth - shift goes into the product
  int k, n;
};

// Rows of activations in 8 bits: x[r][i] is near scale[r][g] * q[r][i] + low[r][g], g the group of i. A row with a value
// that is not finite has NaN in both, so that its products are NaN.
struct QuantizedRows {
  uint8_t* q;
  size_t stride;  // bytes from row to row
  float* scale;   // [rows][groups(k)]
  float* low;
};

// Rows of floats, from one of their columns on.
template <class T>
struct Rows {
  T* data;
  size_t stride;  // floats from row to row
};

// One head over one text. Rows are tokens; query, key and value lie in rows of `stride` floats.
struct AttentionHead {
  const float *query, *key, *value;
  size_t stride;
  int tokens, width;
  float scale;        // of the products of query and key
  const float* bias;  // [2 * reach - 1] or null: added to a product, by the key's distance from the query, clipped
  int reach;
  float* out;
  size_t out_stride;
};

struct Norm {
  const float *gamma, *beta;  // [n]
  float epsilon;
};

// Functions without state; any of them may run on any thread.
struct Kernels {
  const char* name;
  int levels;  // activations are quantized to 0..levels: 255, or 127 where pairs of products would overflow 16 bits

  // the channels of one group of the weight's; x begins with the group's first
  void (*quantize)(Rows<const float> x, int rows, const Weight& w, int group, const QuantizedRows& to);
  // activation(x W + bias), the columns of panels [begin, end); y begins with the first of them
  void (*matmul)(const QuantizedRows& x, int rows, const Weight& w, int begin, int end, Activation activation,
                 Rows<float> y);
  // y = LayerNorm(y + residual); either may be missing
  void (*add_norm)(float* y, const float* residual, int rows, int n, const Norm* norm);
  // out[n] = LayerNorm(word * scale + position); position and norm may be missing
  void (*embed)(const int8_t* word, float scale, const float* position, int n, const Norm* norm, float* out);
  size_t (*attention_scratch)(int tokens, int width);  // bytes, linear in tokens
  void (*attention)(const AttentionHead& head, void* scratch);
#ifdef CPU2VEC_BENCH
  double (*spin)(long rounds);  // multiplications of 8-bit numbers done by the product's instruction on registers alone
#endif
};

}  // namespace cpu2vec
