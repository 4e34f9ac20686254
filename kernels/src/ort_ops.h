// The ops of one step each: their inputs, attributes and checks.
#pragma once
#include <cmath>

#include "ort_node.h"

namespace cpu2vec {
namespace {

struct Embedding : Node {
  static constexpr const char* kName = "Embedding";
  static constexpr int kRepeated = 0;
  static constexpr Input kInputs[] = {
      {"ids", ort::kInt64, true, false},       {"lengths", ort::kInt64, true, false},
      {"word", ort::kInt8, true, true},        {"word_scale", ort::kFloat, true, true},
      {"position", ort::kFloat, false, true},  {"gamma", ort::kFloat, false, true},
      {"beta", ort::kFloat, false, true},      {"types", ort::kInt64, false, false},
      {"token_type", ort::kFloat, false, true},
  };
  static constexpr NormInputs kNorm = {5, 6};
  float epsilon;
  int64_t first_position;

  Error create() {
    epsilon = number("epsilon", 1e-12f);
    first_position = integer("first_position", 0);
    const Constant &word = constant[2], &position = constant[4], &token_type = constant[8];
    if (word.rank != 2 || word.of[1] < 1 || word.of[1] > 1 << 20)
      return error("word must have the shape [words, width]");
    if (Error e = vector(3, word.of[0])) return e;
    if (position.given() && (position.rank != 2 || position.of[1] != word.of[1]))
      return error("position must have the shape [positions, %lld]", (long long)word.of[1]);
    if (token_type.given() && (token_type.rank != 2 || token_type.of[1] != word.of[1]))
      return error("token_type must have the shape [types, %lld]", (long long)word.of[1]);
    if (first_position < 0 || (position.given() && first_position > position.of[0]))
      return error("first_position must be a row of the position table, not %lld", (long long)first_position);
    return kNorm.check(*this, (int)word.of[1]);
  }

  int width() const { return (int)constant[2].of[1]; }

  Error read(Call& call, Tokens& to) const {
    Shape ids, lengths, types;
    to.ids = call.input<int64_t>(0, ids);
    to.lengths.of = call.input<int64_t>(1, lengths);
    to.types = call.inputs() > 7 ? call.input<int64_t>(7, types) : nullptr;
    if (call.failed) return call.failed;
    if (ids.rank != 1 || lengths.rank != 1) return error("ids and lengths must be one-dimensional");
    if (types.given() != constant[8].given()) return error("types and token_type must be given together");
    if (types.given() && !types.is(ids.of[0]))
      return error("types must have the shape of ids, [%lld]", (long long)ids.of[0]);
    to.count = ids.of[0], to.lengths.texts = lengths.of[0];
    return {};
  }

  EmbeddingTables tables(Norm& norm) const {
    return {initializer<int8_t>(2), initializer<float>(3), initializer<float>(4), constant[2].of[0], constant[4].of[0],
            first_position, width(), kNorm.read(*this, epsilon, norm), initializer<float>(8), constant[8].of[0]};
  }

  Error run(Call& call) const {
    Tokens tokens;
    Norm norm;
    if (Error e = read(call, tokens)) return e;
    float* y = call.output(tokens.count, width());
    if (call.failed) return call.failed;
    return embedding(*settings.kernels, tokens, tables(norm), y);
  }
};

struct Linear : Node {
  static constexpr const char* kName = "Linear";
  static constexpr int kRepeated = 0;
  static constexpr Input kInputs[] = {
      {"x", ort::kFloat, true, false},       {"weight", ort::kInt8, true, true},  {"scale", ort::kFloat, true, true},
      {"sums", ort::kInt32, true, true},     {"bias", ort::kFloat, true, true},   {"smooth", ort::kFloat, false, true},
      {"shift", ort::kFloat, false, true},   {"residual", ort::kFloat, false, false},
      {"gamma", ort::kFloat, false, true},   {"beta", ort::kFloat, false, true},
      {"input_gamma", ort::kFloat, false, true}, {"input_beta", ort::kFloat, false, true},
  };
  static constexpr WeightInputs kWeight = {1, 5, 6};
  static constexpr NormInputs kNorm = {8, 9}, kInputNorm = {10, 11};
  Activation function;
  float epsilon, input_epsilon;
  int n;

  Error create() {
    epsilon = number("epsilon", 1e-12f), input_epsilon = number("input_epsilon", 1e-12f);
    if (Error e = activation(function)) return e;
    if (Error e = kWeight.check(*this, n)) return e;
    return kNorm.check(*this, n);
  }

  Error run(Call& call) const {
    Shape shape, residual_shape;
    LinearStep step = {};
    Norm norm, input_norm;
    const float* x = call.input<float>(0, shape);
    if (call.failed) return call.failed;
    if (shape.rank != 2) return error("x must have the shape [tokens, channels]");
    if (Error e = kWeight.read(*this, shape.of[1], n, step.weight)) return e;
    if (Error e = kInputNorm.check(*this, (int)shape.of[1])) return e;
    step.activation = function;
    if (call.inputs() > 7) step.residual = call.input<float>(7, residual_shape);
    if (call.failed) return call.failed;
    if (residual_shape.given() && !residual_shape.is(shape.of[0], n))
      return error("residual must have the shape of the output, [%lld, %d]", (long long)shape.of[0], n);
    step.norm = kNorm.read(*this, epsilon, norm);
    step.input_norm = kInputNorm.read(*this, input_epsilon, input_norm);
    float* y = call.output(shape.of[0], n);
    if (call.failed) return call.failed;
    return linear(*settings.kernels, call.threads(), x, shape.of[0], step, y);
  }
};

struct FeedForward : Node {
  static constexpr const char* kName = "FeedForward";
  static constexpr int kRepeated = 0;
  static constexpr Input kInputs[] = {
      {"x", ort::kFloat, true, false},        {"weight1", ort::kInt8, true, true},
      {"scale1", ort::kFloat, true, true},    {"sums1", ort::kInt32, true, true},
      {"bias1", ort::kFloat, true, true},     {"smooth1", ort::kFloat, false, true},
      {"shift1", ort::kFloat, false, true},   {"weight2", ort::kInt8, true, true},
      {"scale2", ort::kFloat, true, true},    {"sums2", ort::kInt32, true, true},
      {"bias2", ort::kFloat, true, true},     {"gamma", ort::kFloat, false, true},
      {"beta", ort::kFloat, false, true},     {"smooth2", ort::kFloat, false, true},
      {"shift2", ort::kFloat, false, true},   {"input_gamma", ort::kFloat, false, true},
      {"input_beta", ort::kFloat, false, true},
  };
  static constexpr WeightInputs kFirst = {1, 5, 6}, kSecond = {7, 13, 14};
  static constexpr NormInputs kNorm = {11, 12}, kInputNorm = {15, 16};
  Activation function;
  float epsilon, input_epsilon;
  int middle, n;

  Error create() {
    epsilon = number("epsilon", 1e-12f), input_epsilon = number("input_epsilon", 1e-12f);
    if (Error e = activation(function)) return e;
    if (Error e = kFirst.check(*this, middle)) return e;
    if (Error e = kSecond.check(*this, n)) return e;
    if (Error e = kInputNorm.check(*this, n)) return e;
    return kNorm.check(*this, n);
  }

  Error run(Call& call) const {
    Shape shape;
    LinearStep first = {}, second = {};
    Norm norm, input_norm;
    const float* x = call.input<float>(0, shape);
    if (call.failed) return call.failed;
    if (shape.rank != 2 || shape.of[1] != n) return error("x must have the shape [tokens, %d]", n);
    if (Error e = kFirst.read(*this, n, middle, first.weight)) return e;
    if (Error e = kSecond.read(*this, middle, n, second.weight)) return e;
    first.activation = function;
    first.input_norm = kInputNorm.read(*this, input_epsilon, input_norm);
    second.norm = kNorm.read(*this, epsilon, norm);
    float* y = call.output(shape.of[0], n);
    if (call.failed) return call.failed;
    return feed_forward(*settings.kernels, call.threads(), x, shape.of[0], first, second, y);
  }
};

// The attributes of attention, and its bias.
Error read_attention(const Node& node, int relative_bias, AttentionShape& to) {
  const int64_t heads = node.integer("heads", 0);
  if (heads < 1 || heads > 1 << 10) return error("heads must be 1 to 1024, not %lld", (long long)heads);
  to = {(int)heads, 0, node.number("scale", 0), node.initializer<float>(relative_bias), 0, Mask::kNone};
  if (Error e = node.mask(to.mask)) return e;
  const Constant& bias = node.constant[relative_bias];
  if (!bias.given()) return {};
  if (bias.rank != 2 || bias.of[0] != heads || bias.of[1] % 2 == 0 || bias.of[1] > 1 << 22)
    return error("relative_bias must have the shape [%lld, an odd number of distances]", (long long)heads);
  to.reach = (int)(bias.of[1] + 1) / 2;
  return {};
}

// The same for heads that have `hidden` channels together.
AttentionShape of_width(AttentionShape shape, int64_t hidden) {
  shape.width = (int)(hidden / shape.heads);
  if (shape.scale == 0) shape.scale = 1 / sqrtf((float)shape.width);
  return shape;
}

struct Attention : Node {
  static constexpr const char* kName = "Attention";
  static constexpr int kRepeated = 0;
  static constexpr Input kInputs[] = {
      {"qkv", ort::kFloat, true, false},
      {"lengths", ort::kInt64, true, false},
      {"relative_bias", ort::kFloat, false, true},
      {"query", ort::kFloat, false, false},
      {"rows", ort::kInt64, false, false},
  };
  AttentionShape shape;

  Error create() { return read_attention(*this, 2, shape); }

  Error run(Call& call) const {
    Shape qkv_shape, lengths_shape, query_shape, rows_shape;
    const float* qkv = call.input<float>(0, qkv_shape);
    const Lengths lengths = {call.input<int64_t>(1, lengths_shape), lengths_shape.of[0]};
    const float* query = call.inputs() > 3 ? call.input<float>(3, query_shape) : nullptr;
    const int64_t* rows = call.inputs() > 4 ? call.input<int64_t>(4, rows_shape) : nullptr;
    if (call.failed) return call.failed;
    if (lengths_shape.rank != 1) return error("lengths must be one-dimensional");
    if (query_shape.given() != rows_shape.given()) return error("query and rows must be given together");
    const int parts = query_shape.given() ? 2 : 3;
    const int64_t all = qkv_shape.of[1], hidden = all / parts, tokens = qkv_shape.of[0];
    if (qkv_shape.rank != 2 || all < parts || all % (parts * shape.heads) || all > 1 << 22)
      return error("qkv must have the shape [tokens, %d x %d heads x width]", parts, shape.heads);
    const int64_t queries = query_shape.given() ? query_shape.of[0] : tokens;
    if (query_shape.given() && !query_shape.is(queries, hidden))
      return error("query must have the shape [rows, %lld]", (long long)hidden);
    if (rows_shape.given() && !rows_shape.is(queries))
      return error("rows must have one element per query, [%lld]", (long long)queries);
    float* y = call.output(queries, hidden);
    if (call.failed) return call.failed;
    const size_t stride = (size_t)all;
    const float* key = query_shape.given() ? qkv : qkv + hidden;
    const Rows<const float> own = {query, (size_t)hidden}, joined = {qkv, stride};
    const AttentionInput x = {query_shape.given() ? own : joined, {key, stride}, {key + hidden, stride}, rows, queries};
    const Error e = attention(*settings.kernels, call.threads(), x, tokens, lengths, of_width(shape, hidden), y);
    return e ? e : call.failed;
  }
};

}  // namespace
}  // namespace cpu2vec
