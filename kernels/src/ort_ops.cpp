// The custom ops as onnxruntime sees them: the only file that knows its C API. Shapes of weights are checked once,
// when a session is created; those of activations in every run. Every error is a status with one sentence.
#include <pthread.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "dispatch.h"
#include "ops.h"
#include "ort_api.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace cpu2vec {
namespace {

constexpr const char* kDomain = "cpu2vec";
constexpr int kOpSet = 2;
constexpr int kMaxInputs = 16;
constexpr int kMaxThreads = 1024;

struct Settings {
  const Kernels* kernels;
  int threads;
};

struct Input {
  const char* name;
  ort::ElementType type;
  bool required, constant;
};

struct Shape {
  int rank = -1;  // -1: there is no such input
  int64_t of[4] = {};
  bool given() const { return rank >= 0; }
  bool is(int64_t a) const { return rank == 1 && of[0] == a; }
  bool is(int64_t a, int64_t b) const { return rank == 2 && of[0] == a && of[1] == b; }
};

// Turns onnxruntime's own errors into ours.
Error checked(const OrtApi* api, OrtStatus* status, const char* what) {
  if (!status) return {};
  ort::ReleaseStatus::call(api, status);
  return error("onnxruntime does not give %s", what);
}

OrtStatus* status_of(const OrtApi* api, const char* op, const char* node, const Error& e) {
  if (!e) return nullptr;
  char text[512];
  snprintf(text, sizeof text, "%s %s \"%s\": %s", kDomain, op, node, e.text);
  return ort::CreateStatus::call(api, ort::kInvalidArgument, text);
}

Error shape_of(const OrtApi* api, const OrtValue* value, const Input& input, Shape& to) {
  OrtTensorTypeAndShapeInfo* info = nullptr;
  if (Error e = checked(api, ort::GetTypeAndShape::call(api, value, &info), input.name)) return e;
  size_t rank = 0;
  int type = 0;
  OrtStatus* status = ort::GetElementType::call(api, info, &type);
  if (!status) status = ort::GetDimensionsCount::call(api, info, &rank);
  if (!status && rank <= 4) status = ort::GetDimensions::call(api, info, to.of, rank);
  ort::ReleaseShape::call(api, info);
  if (Error e = checked(api, status, input.name)) return e;
  if (type != input.type) return error("%s has the element type %d, not %d", input.name, type, input.type);
  if (rank > 4) return error("%s has %zu dimensions, more than any input of this op", input.name, rank);
  to.rank = (int)rank;
  return {};
}

// What is known of a node when its session is created.
struct Node {
  const OrtApi* api;
  const OrtKernelInfo* info;  // during creation alone
  const Input* inputs;
  Settings settings;
  char name[128];
  Shape constant[kMaxInputs];  // shapes of the inputs that are initializers

  float number(const char* attribute, float fallback) const {
    float value = fallback;
    OrtStatus* status = ort::GetFloatAttribute::call(api, info, attribute, &value);
    if (!status) return value;
    ort::ReleaseStatus::call(api, status);
    return fallback;
  }

  int64_t integer(const char* attribute, int64_t fallback) const {
    int64_t value = fallback;
    OrtStatus* status = ort::GetIntAttribute::call(api, info, attribute, &value);
    if (!status) return value;
    ort::ReleaseStatus::call(api, status);
    return fallback;
  }

  Error activation(Activation& to) const {
    constexpr const char* kNames[] = {"none", "gelu", "gelu_tanh", "relu", "silu", "tanh"};
    char name[32] = "none";
    size_t size = sizeof name;
    OrtStatus* status = ort::GetTextAttribute::call(api, info, "activation", name, &size);
    if (status) {
      ort::ReleaseStatus::call(api, status);
      if (size > sizeof name) return error("activation is none of none, gelu, gelu_tanh, relu, silu, tanh");
    }
    for (int i = 0; i < 6; ++i)
      if (!strcmp(name, kNames[i])) return to = static_cast<Activation>(i), Error();
    return error("activation is \"%s\", none of none, gelu, gelu_tanh, relu, silu, tanh", name);
  }

  Error vector(int index, int64_t size) const {
    if (constant[index].is(size)) return {};
    return error("%s must have %lld elements in one dimension", inputs[index].name, (long long)size);
  }
};

// Whether input `i` has a name: an empty one stands for what is left out.
Error is_named(const Node& node, int i, bool& named) {
  size_t size = 0;  // with the zero at the end
  OrtStatus* status = ort::GetNodeInputName::call(node.api, node.info, i, nullptr, &size);
  named = size > 1;
  return checked(node.api, status, node.inputs[i].name);
}

Error read_constants(Node& node, int count) {
  size_t given = 0;
  if (Error e = checked(node.api, ort::GetNodeInputCount::call(node.api, node.info, &given), "the inputs")) return e;
  for (int i = 0; i < count; ++i) {
    const Input& input = node.inputs[i];
    if (!input.constant || i >= (int)given) continue;
    int constant = 0;
    const OrtValue* value = nullptr;
    OrtStatus* status = ort::GetConstantInput::call(node.api, node.info, i, &constant, &value);
    if (Error e = checked(node.api, status, input.name)) return e;
    if (!constant || !value) {
      bool named = false;
      if (Error e = is_named(node, i, named)) return e;
      if (named || input.required) return error("%s must be an initializer", input.name);
      continue;
    }
    if (Error e = shape_of(node.api, value, input, node.constant[i])) return e;
    void* data = nullptr;
    status = ort::GetData::call(node.api, const_cast<OrtValue*>(value), &data);
    if (Error e = checked(node.api, status, input.name)) return e;
    const size_t alignment = node.constant[i].rank == 4 ? kAlignment : sizeof(float);
    if (reinterpret_cast<uintptr_t>(data) % alignment)
      return error("%s does not lie on a multiple of %zu bytes: store it as external data on a page boundary",
                   input.name, alignment);
  }
  return {};
}

// One run of a node.
struct Call {
  const Node& node;
  OrtKernelContext* context;
  Error failed = {};

  const OrtValue* value(int i) {
    const OrtValue* value = nullptr;
    OrtStatus* status = ort::GetInput::call(node.api, context, i, &value);
    if (Error e = checked(node.api, status, node.inputs[i].name)) failed = e;
    return value;
  }
  template <class T>
  const T* data(const OrtValue* value) {
    void* data = nullptr;
    if (!value) return nullptr;
    OrtStatus* status = ort::GetData::call(node.api, const_cast<OrtValue*>(value), &data);
    if (Error e = checked(node.api, status, "the data of an input")) failed = e;
    return static_cast<const T*>(data);
  }
  // An initializer, its shape checked at creation; null where it is not given.
  template <class T>
  const T* initializer(int i) {
    return node.constant[i].given() ? data<T>(value(i)) : nullptr;
  }
  template <class T>
  const T* input(int i, Shape& shape) {
    const OrtValue* v = value(i);
    if (!v) return nullptr;
    if (Error e = shape_of(node.api, v, node.inputs[i], shape)) return failed = e, nullptr;
    return data<T>(v);
  }
  float* output(int64_t rows, int64_t columns) {
    const int64_t shape[2] = {rows, columns};
    OrtValue* value = nullptr;
    OrtStatus* status = ort::GetOutput::call(node.api, context, 0, shape, 2, &value);
    if (Error e = checked(node.api, status, "memory for the output")) return failed = e, nullptr;
    return const_cast<float*>(data<float>(value));
  }
  size_t inputs() {
    size_t count = 0;
    if (Error e = checked(node.api, ort::GetInputCount::call(node.api, context, &count), "the inputs")) failed = e;
    return count;
  }
  Threads threads() { return {node.settings.threads, this, run}; }

  static void run(void* self, int count, void (*body)(void*, size_t), void* data) {
    Call& call = *static_cast<Call*>(self);
    OrtStatus* status = ort::ParallelFor::call(call.node.api, call.context, body, count, count, data);
    if (Error e = checked(call.node.api, status, "its threads")) call.failed = e;
  }
};

// The four inputs of a weight from index `first` on, and what goes before its product.
struct WeightInputs {
  int first, smooth, shift;

  Error check(const Node& node, int& n) const {
    const Shape &packed = node.constant[first], &bias = node.constant[first + 3];
    if (bias.rank != 1 || bias.of[0] < 1 || bias.of[0] > 1 << 20)
      return error("%s must have one element per output channel", node.inputs[first + 3].name);
    n = (int)bias.of[0];
    if (packed.rank != 4 || packed.of[0] != panels(n) || packed.of[1] < 1 || packed.of[1] > 1 << 18 ||
        packed.of[2] != kPanel || packed.of[3] != kQuad)
      return error("%s must have the shape [%d, input channels / 4, 16, 4]", node.inputs[first].name, panels(n));
    // NOTE: up to three input channels more or less make as many groups: 320 is a multiple of four.
    const int grouped[2] = {first + 1, first + 2}, all = groups((int)packed.of[1] * kQuad);
    for (int i : grouped)
      if (!node.constant[i].is(all, n))
        return error("%s must have the shape [%d, %d], a row for each group of input channels", node.inputs[i].name,
                     all, n);
    const Shape* before[2] = {&node.constant[smooth], &node.constant[shift]};
    for (const Shape* shape : before)
      if (shape->given() && (shape->rank != 1 || shape->of[0] < 1 || shape->of[0] > 1 << 20 ||
                             quads((int)shape->of[0]) != packed.of[1]))
        return error("smooth and shift must have one element per input channel of the weight");
    return {};
  }

  Error read(Call& call, int64_t k, int n, Weight& to) const {
    const Node& node = call.node;
    if (k < 1 || k > 1 << 20 || quads((int)k) != node.constant[first].of[1])
      return error("the input has %lld channels, and %s is made for %lld to %lld", (long long)k,
                   node.inputs[first].name, (long long)node.constant[first].of[1] * 4 - 3,
                   (long long)node.constant[first].of[1] * 4);
    const int before[2] = {smooth, shift};
    for (int i : before)
      if (node.constant[i].given() && !node.constant[i].is(k))
        return error("%s must have %lld elements in one dimension", node.inputs[i].name, (long long)k);
    to = {call.initializer<int8_t>(first),     call.initializer<float>(first + 1), call.initializer<int32_t>(first + 2),
          call.initializer<float>(first + 3), call.initializer<float>(smooth),    call.initializer<float>(shift),
          (int)k, n};
    return call.failed;
  }
};

struct NormInputs {
  int gamma, beta;

  Error check(const Node& node, int n) const {
    if (node.constant[gamma].given() != node.constant[beta].given()) return error("gamma and beta go together");
    if (!node.constant[gamma].given()) return {};
    if (Error e = node.vector(gamma, n)) return e;
    return node.vector(beta, n);
  }
  const Norm* read(Call& call, float epsilon, Norm& to) const {
    to = {call.initializer<float>(gamma), call.initializer<float>(beta), epsilon};
    return to.gamma ? &to : nullptr;
  }
};

struct Embedding : Node {
  static constexpr const char* kName = "Embedding";
  static constexpr Input kInputs[] = {
      {"ids", ort::kInt64, true, false},       {"lengths", ort::kInt64, true, false},
      {"word", ort::kInt8, true, true},        {"word_scale", ort::kFloat, true, true},
      {"position", ort::kFloat, false, true},  {"gamma", ort::kFloat, false, true},
      {"beta", ort::kFloat, false, true},
  };
  static constexpr NormInputs kNorm = {5, 6};
  float epsilon;
  int64_t first_position;

  Error create() {
    epsilon = number("epsilon", 1e-12f);
    first_position = integer("first_position", 0);
    const Shape &word = constant[2], &position = constant[4];
    if (word.rank != 2 || word.of[1] < 1 || word.of[1] > 1 << 20)
      return error("word must have the shape [words, width]");
    if (Error e = vector(3, word.of[0])) return e;
    if (position.given() && (position.rank != 2 || position.of[1] != word.of[1]))
      return error("position must have the shape [positions, %lld]", (long long)word.of[1]);
    if (first_position < 0 || (position.given() && first_position > position.of[0]))
      return error("first_position is %lld, outside the table of positions", (long long)first_position);
    return kNorm.check(*this, (int)word.of[1]);
  }

  Error run(Call& call) const {
    Shape ids_shape, lengths_shape;
    const int64_t* ids = call.input<int64_t>(0, ids_shape);
    const Lengths lengths = {call.input<int64_t>(1, lengths_shape), lengths_shape.of[0]};
    if (call.failed) return call.failed;
    if (ids_shape.rank != 1 || lengths_shape.rank != 1) return error("ids and lengths must have one dimension");
    Norm norm;
    const int width = (int)constant[2].of[1];
    const EmbeddingTables tables = {call.initializer<int8_t>(2), call.initializer<float>(3),
                                    call.initializer<float>(4),  constant[2].of[0],
                                    constant[4].of[0],           first_position,
                                    width,                       kNorm.read(call, epsilon, norm)};
    float* y = call.output(ids_shape.of[0], width);
    if (call.failed) return call.failed;
    return embedding(*settings.kernels, call.threads(), ids, ids_shape.of[0], lengths, tables, y);
  }
};

struct Linear : Node {
  static constexpr const char* kName = "Linear";
  static constexpr Input kInputs[] = {
      {"x", ort::kFloat, true, false},       {"weight", ort::kInt8, true, true},  {"scale", ort::kFloat, true, true},
      {"sums", ort::kInt32, true, true},     {"bias", ort::kFloat, true, true},   {"smooth", ort::kFloat, false, true},
      {"shift", ort::kFloat, false, true},   {"residual", ort::kFloat, false, false},
      {"gamma", ort::kFloat, false, true},   {"beta", ort::kFloat, false, true},
  };
  static constexpr WeightInputs kWeight = {1, 5, 6};
  static constexpr NormInputs kNorm = {8, 9};
  Activation function;
  float epsilon;
  int n;

  Error create() {
    epsilon = number("epsilon", 1e-12f);
    if (Error e = activation(function)) return e;
    if (Error e = kWeight.check(*this, n)) return e;
    return kNorm.check(*this, n);
  }

  Error run(Call& call) const {
    Shape shape, residual_shape;
    LinearStep step = {};
    Norm norm;
    const float* x = call.input<float>(0, shape);
    if (call.failed) return call.failed;
    if (shape.rank != 2) return error("x must have the shape [tokens, channels]");
    if (Error e = kWeight.read(call, shape.of[1], n, step.weight)) return e;
    step.activation = function;
    if (call.inputs() > 7) step.residual = call.input<float>(7, residual_shape);
    if (call.failed) return call.failed;
    if (residual_shape.given() && !residual_shape.is(shape.of[0], n))
      return error("residual must have the shape [%lld, %d] of the output", (long long)shape.of[0], n);
    step.norm = kNorm.read(call, epsilon, norm);
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
      {"shift2", ort::kFloat, false, true},
  };
  static constexpr WeightInputs kFirst = {1, 5, 6}, kSecond = {7, 13, 14};
  static constexpr NormInputs kNorm = {11, 12};
  Activation function;
  float epsilon;
  int middle, n;

  Error create() {
    epsilon = number("epsilon", 1e-12f);
    if (Error e = activation(function)) return e;
    if (Error e = kFirst.check(*this, middle)) return e;
    if (Error e = kSecond.check(*this, n)) return e;
    return kNorm.check(*this, n);
  }

  Error run(Call& call) const {
    Shape shape;
    LinearStep first = {}, second = {};
    Norm norm;
    const float* x = call.input<float>(0, shape);
    if (call.failed) return call.failed;
    if (shape.rank != 2 || shape.of[1] != n) return error("x must have the shape [tokens, %d]", n);
    if (Error e = kFirst.read(call, n, middle, first.weight)) return e;
    if (Error e = kSecond.read(call, middle, n, second.weight)) return e;
    first.activation = function;
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
  };
  AttentionShape shape;

  Error create() {
    const int64_t heads = integer("heads", 0);
    if (heads < 1 || heads > 1 << 10) return error("heads is %lld, not 1 to 1024", (long long)heads);
    shape = {(int)heads, 0, number("scale", 0), nullptr, 0};
    const Shape& bias = constant[2];
    if (!bias.given()) return {};
    if (bias.rank != 2 || bias.of[0] != heads || bias.of[1] % 2 == 0 || bias.of[1] > 1 << 22)
      return error("relative_bias must have the shape [%lld, an odd number of distances]", (long long)heads);
    shape.reach = (int)(bias.of[1] + 1) / 2;
    return {};
  }

  Error run(Call& call) const {
    Shape qkv_shape, lengths_shape;
    const float* qkv = call.input<float>(0, qkv_shape);
    const Lengths lengths = {call.input<int64_t>(1, lengths_shape), lengths_shape.of[0]};
    if (call.failed) return call.failed;
    if (lengths_shape.rank != 1) return error("lengths must have one dimension");
    if (qkv_shape.rank != 2 || qkv_shape.of[1] < 3 || qkv_shape.of[1] % (3 * shape.heads) || qkv_shape.of[1] > 1 << 22)
      return error("qkv must have the shape [tokens, 3 x %d heads x width]", shape.heads);
    AttentionShape full = shape;
    full.width = (int)qkv_shape.of[1] / (3 * shape.heads);
    if (full.scale == 0) full.scale = 1 / sqrtf((float)full.width);
    full.bias = call.initializer<float>(2);
    float* y = call.output(qkv_shape.of[0], qkv_shape.of[1] / 3);
    if (call.failed) return call.failed;
    const Error e = attention(*settings.kernels, call.threads(), qkv, qkv_shape.of[0], lengths, full, y);
    return e ? e : call.failed;
  }
};

struct CustomOp : OrtCustomOp {
  Settings settings;
};

template <class Op>
OrtStatus* create(const OrtCustomOp* op, const OrtApi* api, const OrtKernelInfo* info, void** to) {
  Op* node = static_cast<Op*>(calloc(1, sizeof(Op)));
  if (!node) return status_of(api, Op::kName, "", error("there is not enough memory for a node"));
  node->api = api, node->info = info, node->inputs = Op::kInputs;
  node->settings = static_cast<const CustomOp*>(op)->settings;
  for (Shape& shape : node->constant) shape = Shape();
  size_t size = sizeof node->name;
  OrtStatus* unnamed = ort::GetNodeName::call(api, info, node->name, &size);
  if (unnamed) ort::ReleaseStatus::call(api, unnamed);
  Error e = read_constants(*node, sizeof Op::kInputs / sizeof(Input));
  if (!e) e = node->create();
  node->info = nullptr;
  if (!e) return *to = node, nullptr;
  OrtStatus* status = status_of(api, Op::kName, node->name, e);
  free(node);
  return status;
}

template <class Op>
OrtStatus* compute(void* kernel, OrtKernelContext* context) {
  const Op& node = *static_cast<const Op*>(kernel);
  Call call = {node, context};
  Error e = node.run(call);
  return status_of(node.api, Op::kName, node.name, e ? e : call.failed);
}

template <class Op>
CustomOp custom_op(const Settings& settings) {
  CustomOp op = {};
  op.settings = settings;
  op.version = ort::kApiVersion;
  op.GetName = [](const OrtCustomOp*) { return Op::kName; };
  op.GetExecutionProviderType = [](const OrtCustomOp*) -> const char* { return nullptr; };
  op.GetInputTypeCount = [](const OrtCustomOp*) { return sizeof Op::kInputs / sizeof(Input); };
  op.GetInputType = [](const OrtCustomOp*, size_t i) -> int { return Op::kInputs[i].type; };
  op.GetInputCharacteristic = [](const OrtCustomOp*, size_t i) -> int {
    return Op::kInputs[i].required ? ort::kRequired : ort::kOptional;
  };
  op.GetOutputTypeCount = [](const OrtCustomOp*) { return (size_t)1; };
  op.GetOutputType = [](const OrtCustomOp*, size_t) -> int { return ort::kFloat; };
  op.GetOutputCharacteristic = [](const OrtCustomOp*, size_t) -> int { return ort::kRequired; };
  op.GetInputMemoryType = [](const OrtCustomOp*, size_t) { return 0; };
  op.GetVariadicInputMinArity = op.GetVariadicOutputMinArity = [](const OrtCustomOp*) { return 1; };
  op.GetVariadicInputHomogeneity = op.GetVariadicOutputHomogeneity = [](const OrtCustomOp*) { return 1; };
  // NOTE: onnxruntime runs them in graphs of any version of the domain; who loads a graph compares versions.
  op.GetStartVersion = op.GetEndVersion = [](const OrtCustomOp*) { return kOpSet; };
  op.CreateKernelV2 = create<Op>;
  op.KernelComputeV2 = compute<Op>;
  op.KernelDestroy = [](void* kernel) { free(kernel); };
  return op;
}

// The ops under one pair of settings. Sessions refer to them for as long as they live, so they are never released;
// there are as many as a process uses different settings.
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

// An entry of the session's configuration; empty where there is none.
OrtStatus* config_entry(const OrtApi* api, const OrtSessionOptions* options, const char* key, char* value, size_t size) {
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
    return error("cpu2vec.isa is \"%s\", and this machine runs %s", isa, usable_names());
  if (!*threads) return {};
  char* end = nullptr;
  const long count = strtol(threads, &end, 10);
  if (*end || count < 1 || count > kMaxThreads)
    return error("cpu2vec.threads is \"%s\", not a number from 1 to %d", threads, kMaxThreads);
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
    snprintf(text, sizeof text, "the cpu2vec kernels were made for onnxruntime %s and do not run in %s",
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
