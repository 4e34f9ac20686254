// The op of a whole encoder, which computes what nodes of the other ops would one after another.
#pragma once
#include "ort_ops.h"
#include "pooling.h"

namespace cpu2vec {
namespace {

struct Encoder : Embedding {
  static constexpr const char* kName = "Encoder";
  // Embedding's inputs, three more, and those of each layer: Linear's, Linear's, Linear's and FeedForward's.
  static constexpr Input kInputs[] = {
      {"ids", ort::kInt64, true, false},
      {"lengths", ort::kInt64, true, false},
      {"word", ort::kInt8, true, true},
      {"word_scale", ort::kFloat, true, true},
      {"position", ort::kFloat, false, true},
      {"gamma", ort::kFloat, false, true},
      {"beta", ort::kFloat, false, true},
      {"types", ort::kInt64, false, false},
      {"token_type", ort::kFloat, false, true},
      {"relative_bias", ort::kFloat, false, true},
      {"rows", ort::kInt64, false, false},
      {"pooled", ort::kInt64, false, false},
      // Queries, keys and values; in a layer with a query, keys and values.
      {"joined_weight", ort::kInt8, true, true, true},
      {"joined_scale", ort::kFloat, true, true, true},
      {"joined_sums", ort::kInt32, true, true, true},
      {"joined_bias", ort::kFloat, true, true, true},
      {"joined_smooth", ort::kFloat, false, true, true},
      {"joined_shift", ort::kFloat, false, true, true},
      {"joined_input_gamma", ort::kFloat, false, true, true},
      {"joined_input_beta", ort::kFloat, false, true, true},
      {"query_weight", ort::kInt8, false, true, true},
      {"query_scale", ort::kFloat, false, true, true},
      {"query_sums", ort::kInt32, false, true, true},
      {"query_bias", ort::kFloat, false, true, true},
      {"query_smooth", ort::kFloat, false, true, true},
      {"query_shift", ort::kFloat, false, true, true},
      {"query_input_gamma", ort::kFloat, false, true, true},
      {"query_input_beta", ort::kFloat, false, true, true},
      {"output_weight", ort::kInt8, true, true, true},
      {"output_scale", ort::kFloat, true, true, true},
      {"output_sums", ort::kInt32, true, true, true},
      {"output_bias", ort::kFloat, true, true, true},
      {"output_smooth", ort::kFloat, false, true, true},
      {"output_shift", ort::kFloat, false, true, true},
      {"output_gamma", ort::kFloat, false, true, true},
      {"output_beta", ort::kFloat, false, true, true},
      {"weight1", ort::kInt8, true, true, true},
      {"scale1", ort::kFloat, true, true, true},
      {"sums1", ort::kInt32, true, true, true},
      {"bias1", ort::kFloat, true, true, true},
      {"smooth1", ort::kFloat, false, true, true},
      {"shift1", ort::kFloat, false, true, true},
      {"weight2", ort::kInt8, true, true, true},
      {"scale2", ort::kFloat, true, true, true},
      {"sums2", ort::kInt32, true, true, true},
      {"bias2", ort::kFloat, true, true, true},
      {"layer_gamma", ort::kFloat, false, true, true},
      {"layer_beta", ort::kFloat, false, true, true},
      {"smooth2", ort::kFloat, false, true, true},
      {"shift2", ort::kFloat, false, true, true},
      {"input_gamma", ort::kFloat, false, true, true},
      {"input_beta", ort::kFloat, false, true, true},
  };
  static constexpr int kPooledFields = sizeof(PooledText) / sizeof(int64_t);
  static constexpr int kRelativeBias = 9, kRows = 10, kPooled = 11, kFixed = 12;
  static constexpr int kRepeated = sizeof kInputs / sizeof(Input) - kFixed;
  // Of a layer, from its first input on.
  static constexpr WeightInputs kJoined = {0, 4, 5}, kQuery = {8, 12, 13}, kOutput = {16, 20, 21};
  static constexpr WeightInputs kFirst = {24, 28, 29}, kSecond = {30, 36, 37};
  static constexpr NormInputs kJoinedInput = {6, 7}, kQueryInput = {14, 15}, kOutputNorm = {22, 23};
  static constexpr NormInputs kFirstInput = {38, 39}, kLayerNorm = {34, 35};

  struct Norms {
    Norm joined, query, output, first, layer;
  };
  AttentionShape attention;
  Activation function;
  float input_epsilon;
  EncoderLayer* steps;  // one for each layer, as are norms, which they refer to
  Norms* norms;

  Error create() {
    if (Error e = Embedding::create()) return e;
    if (Error e = activation(function)) return e;
    if (Error e = read_attention(*this, kRelativeBias, attention)) return e;
    if (width() % attention.heads)
      return error("heads must divide the width, %d, and %d do not", width(), attention.heads);
    if (!layers) return error("there must be a layer");
    attention = of_width(attention, width());
    input_epsilon = number("input_epsilon", 1e-12f);
    steps = static_cast<EncoderLayer*>(calloc(layers, sizeof(EncoderLayer)));
    norms = static_cast<Norms*>(calloc(layers, sizeof(Norms)));
    if (!steps || !norms) return error("there is not enough memory for a node");
    for (int i = 0, first = kFixed; i < layers; ++i, first += kRepeated)
      if (Error e = read_layer(first, i + 1 == layers, steps[i], norms[i])) return of_layer(first, e);
    return {};
  }

  void release() {
    free(steps);
    free(norms);
  }

  Error read_layer(int at, bool is_last, EncoderLayer& to, Norms& norm) const {
    const int hidden = width(), middle = (int)constant[kFirst.from(at).first + 3].of[0];
    const bool selects = constant[kQuery.from(at).first].given();
    if (selects && !is_last) return error("only the last layer may have a query");
    if (Error e = weight(kJoined.from(at), hidden, (selects ? 2 : 3) * hidden, to.joined)) return e;
    if (Error e = selects ? weight(kQuery.from(at), hidden, hidden, to.query) : Error()) return e;
    if (Error e = weight(kOutput.from(at), hidden, hidden, to.output)) return e;
    if (Error e = weight(kFirst.from(at), hidden, middle, to.first)) return e;
    if (Error e = weight(kSecond.from(at), middle, hidden, to.second)) return e;
    to.first.activation = function;
    if (Error e = read_norm(kJoinedInput.from(at), input_epsilon, norm.joined, to.joined.input_norm)) return e;
    if (Error e = read_norm(kQueryInput.from(at), input_epsilon, norm.query, to.query.input_norm)) return e;
    if (Error e = read_norm(kOutputNorm.from(at), epsilon, norm.output, to.output.norm)) return e;
    if (Error e = read_norm(kFirstInput.from(at), input_epsilon, norm.first, to.first.input_norm)) return e;
    return read_norm(kLayerNorm.from(at), epsilon, norm.layer, to.second.norm);
  }

  Error weight(const WeightInputs& from, int k, int n, LinearStep& to) const {
    int outputs = 0;
    if (Error e = from.check(*this, outputs)) return e;
    if (outputs != n) return error("%s must have the shape [%d]", inputs[from.first + 3].name, n);
    return from.read(*this, k, n, to.weight);
  }

  Error read_norm(const NormInputs& from, float of, Norm& norm, const Norm*& to) const {
    if (Error e = from.check(*this, width())) return e;
    to = from.read(*this, of, norm);
    return {};
  }

  Error run(Call& call) const {
    Tokens tokens;
    Norm norm;
    Shape shape, pooled_shape;
    if (Error e = read(call, tokens)) return e;
    const int64_t* rows = call.input<int64_t>(kRows, shape);
    const int64_t* pooled = call.input<int64_t>(kPooled, pooled_shape);
    if (call.failed) return call.failed;
    const EncoderSteps all = {tables(norm), steps, layers, attention};
    if (shape.given() != (steps[layers - 1].query.weight.n > 0))
      return error("rows and the last layer's query_weight must be given together");
    if (shape.given() && shape.rank != 1) return error("rows must be one-dimensional");
    const int64_t queries = shape.given() ? shape.of[0] : tokens.count, texts = tokens.lengths.texts;
    const bool pools = pooled_shape.given() && pooled_shape.of[0];
    if (pooled_shape.given() && !pooled_shape.is(pools ? texts : 0, kPooledFields))
      return error("pooled must have the shape [%lld, %d], or [0, %d]", (long long)texts, kPooledFields, kPooledFields);
    float* y = call.output(pools ? texts : queries, width());
    if (call.failed) return call.failed;
    const auto* of_texts = pools ? reinterpret_cast<const PooledText*>(pooled) : nullptr;
    const Error e = encoder(*settings.kernels, call.threads(), tokens, all, rows, queries, of_texts, y);
    return e ? e : call.failed;
  }
};

}  // namespace
}  // namespace cpu2vec
