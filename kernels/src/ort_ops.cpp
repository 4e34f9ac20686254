// The four ops: their inputs, attributes and checks, and their registration with a session.
#include <pthread.h>

#include <cmath>

#include "dispatch.h"
#include "ort_node.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace cpu2vec {
namespace {

constexpr int kMaxThreads = 1024;

struct Embedding : Node {
  static constexpr const char* kName = "Embedding";
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
    const Shape &word = constant[2], &position = constant[4], &token_type = constant[8];
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

  Error run(Call& call) const {
    Shape ids_shape, lengths_shape, types_shape;
    const int64_t* ids = call.input<int64_t>(0, ids_shape);
    const Lengths lengths = {call.input<int64_t>(1, lengths_shape), lengths_shape.of[0]};
    const int64_t* types = call.inputs() > 7 ? call.input<int64_t>(7, types_shape) : nullptr;
    if (call.failed) return call.failed;
    if (ids_shape.rank != 1 || lengths_shape.rank != 1) return error("ids and lengths must be one-dimensional");
    if (types_shape.given() != constant[8].given()) return error("types and token_type must be given together");
    if (types_shape.given() && !types_shape.is(ids_shape.of[0]))
      return error("types must have the shape of ids, [%lld]", (long long)ids_shape.of[0]);
    Norm norm;
    const int width = (int)constant[2].of[1];
    const EmbeddingTables tables = {call.initializer<int8_t>(2), call.initializer<float>(3),
                                    call.initializer<float>(4),  constant[2].of[0],
                                    constant[4].of[0],           first_position,
                                    width,                       kNorm.read(call, epsilon, norm),
                                    call.initializer<float>(8),  constant[8].of[0]};
    float* y = call.output(ids_shape.of[0], width);
    if (call.failed) return call.failed;
    return embedding(*settings.kernels, call.threads(), ids, types, ids_shape.of[0], lengths, tables, y);
  }
};

struct Linear : Node {
  static constexpr const char* kName = "Linear";
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
    if (Error e = kWeight.read(call, shape.of[1], n, step.weight)) return e;
    if (Error e = kInputNorm.check(*this, (int)shape.of[1])) return e;
    step.activation = function;
    if (call.inputs() > 7) step.residual = call.input<float>(7, residual_shape);
    if (call.failed) return call.failed;
    if (residual_shape.given() && !residual_shape.is(shape.of[0], n))
      return error("residual must have the shape of the output, [%lld, %d]", (long long)shape.of[0], n);
    step.norm = kNorm.read(call, epsilon, norm);
    step.input_norm = kInputNorm.read(call, input_epsilon, input_norm);
    float* y = call.output(shape.of[0], n);
    if (call.failed) return call.failed;
    return linear(*settings.kernels, call.threads(), x, shape.of[0], step, y);
  }
};

struct FeedForward : Node {
  static constexpr const char* kName = "FeedForward";
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
    if (Error e = kFirst.read(call, n, middle, first.weight)) return e;
    if (Error e = kSecond.read(call, middle, n, second.weight)) return e;
    first.activation = function;
    first.input_norm = kInputNorm.read(call, input_epsilon, input_norm);
    second.norm = kNorm.read(call, epsilon, norm);
    float* y = call.output(shape.of[0], n);
    if (call.failed) return call.failed;
    return feed_forward(*settings.kernels, call.threads(), x, shape.of[0], first, second, y);
  }
};

struct Attention : Node {
  static constexpr const char* kName = "Attention";
  static constexpr Input kInputs[] = {
      {"qkv", ort::kFloat, true, false},
      {"lengths", ort::kInt64, true, false},
      {"relative_bias", ort::kFloat, false, true},
      {"query", ort::kFloat, false, false},
      {"rows", ort::kInt64, false, false},
  };
  AttentionShape shape;

  Error create() {
    const int64_t heads = integer("heads", 0);
    if (heads < 1 || heads > 1 << 10) return error("heads must be 1 to 1024, not %lld", (long long)heads);
    shape = {(int)heads, 0, number("scale", 0), nullptr, 0, Mask::kNone};
    if (Error e = mask(shape.mask)) return e;
    const Shape& bias = constant[2];
    if (!bias.given()) return {};
    if (bias.rank != 2 || bias.of[0] != heads || bias.of[1] % 2 == 0 || bias.of[1] > 1 << 22)
      return error("relative_bias must have the shape [%lld, an odd number of distances]", (long long)heads);
    shape.reach = (int)(bias.of[1] + 1) / 2;
    return {};
  }

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
    AttentionShape full = shape;
    full.width = (int)(hidden / shape.heads);
    if (full.scale == 0) full.scale = 1 / sqrtf((float)full.width);
    full.bias = call.initializer<float>(2);
    float* y = call.output(queries, hidden);
    if (call.failed) return call.failed;
    const size_t stride = (size_t)all;
    const float* key = query_shape.given() ? qkv : qkv + hidden;
    const Rows<const float> own = {query, (size_t)hidden}, joined = {qkv, stride};
    const AttentionInput x = {query_shape.given() ? own : joined, {key, stride}, {key + hidden, stride}, rows, queries};
    const Error e = attention(*settings.kernels, call.threads(), x, tokens, lengths, full, y);
    return e ? e : call.failed;
  }
};

// The ops with one pair of settings. They are never released, because sessions refer to them for as long as they live;
// a process has one of these for each pair of settings that it uses.
constexpr int kOps = 4;
struct Registered {
  CustomOp ops[kOps];
  OrtCustomOpDomain* domain;
  Registered* next;
};
Registered* registered = nullptr;
pthread_mutex_t registering = PTHREAD_MUTEX_INITIALIZER;

OrtStatus* add_domain(const OrtApi* api, const Settings& settings, OrtCustomOpDomain** to) {
  for (Registered* r = registered; r; r = r->next)
    if (r->ops[0].settings.kernels == settings.kernels && r->ops[0].settings.threads == settings.threads)
      return *to = r->domain, nullptr;
  auto* r = static_cast<Registered*>(calloc(1, sizeof(Registered)));
  if (!r) return ort::CreateStatus::call(api, ort::kFail, "cpu2vec: there is not enough memory for the ops");
  r->ops[0] = custom_op<Embedding>(settings);
  r->ops[1] = custom_op<Linear>(settings);
  r->ops[2] = custom_op<FeedForward>(settings);
  r->ops[3] = custom_op<Attention>(settings);
  OrtStatus* status = ort::CreateDomain::call(api, kDomain, &r->domain);
  for (int i = 0; i < kOps && !status; ++i) status = ort::AddToDomain::call(api, r->domain, &r->ops[i]);
  if (status) return free(r), status;
  r->next = registered;
  registered = r;
  return *to = r->domain, nullptr;
}

// Reads an entry of the session's configuration into `value`, which is empty if there is none.
OrtStatus* config_entry(const OrtApi* api, const OrtSessionOptions* options, const char* key, char* value,
                        size_t size) {
  int there = 0;
  value[0] = 0;
  OrtStatus* status = ort::HasConfigEntry::call(api, options, key, &there);
  if (status || !there) return status;
  return ort::GetConfigEntry::call(api, options, key, value, &size);
}

Error settings_of(const char* isa, const char* threads, Settings& to) {
  to = {&chosen(), 1};
  if (*isa) to.kernels = usable(isa);
  if (!to.kernels)
    return error("cpu2vec.isa must be one of %s on this machine, not \"%s\"", usable_names(), isa);
  if (!*threads) return {};
  char* end = nullptr;
  const long count = strtol(threads, &end, 10);
  if (*end || count < 1 || count > kMaxThreads)
    return error("cpu2vec.threads must be a number from 1 to %d, not \"%s\"", kMaxThreads, threads);
  to.threads = (int)count;
  return {};
}

}  // namespace
}  // namespace cpu2vec

EXPORT const char* cpu2vec_kernels_isa() { return cpu2vec::chosen().name; }
EXPORT const char* cpu2vec_kernels_available() { return cpu2vec::usable_names(); }
EXPORT int cpu2vec_kernels_opset() { return cpu2vec::kOpSet; }

EXPORT OrtStatus* RegisterCustomOps(OrtSessionOptions* options, const OrtApiBase* base) {
  using namespace cpu2vec;
  if (strcmp(base->GetVersionString(), CPU2VEC_ONNXRUNTIME)) {
    char text[256];
    snprintf(text, sizeof text, "the cpu2vec kernels were built for onnxruntime %s and do not run in %s",
             CPU2VEC_ONNXRUNTIME, base->GetVersionString());
    return ort::CreateStatus::call(base->GetApi(1), ort::kFail, text);  // NOTE: every onnxruntime has version 1
  }
  const OrtApi* api = base->GetApi(ort::kApiVersion);
  char isa[64], threads[64];
  OrtStatus* status = config_entry(api, options, "cpu2vec.isa", isa, sizeof isa);
  if (!status) status = config_entry(api, options, "cpu2vec.threads", threads, sizeof threads);
  if (status) return status;
  Settings settings;
  if (const Error e = settings_of(isa, threads, settings))
    return ort::CreateStatus::call(api, ort::kInvalidArgument, e.text);
  OrtCustomOpDomain* domain = nullptr;
  pthread_mutex_lock(&registering);
  status = add_domain(api, settings, &domain);
  pthread_mutex_unlock(&registering);
  return status ? status : ort::AddDomain::call(api, options, domain);
}
