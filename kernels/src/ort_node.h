// The adapter between onnxruntime and an op: what a node consists of, what a run reads and writes, and the table of
// functions that onnxruntime calls. Shapes of weights are checked once, when a session is created, and shapes of
// activations in every run. Every error is a status with one sentence.
#pragma once
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "ops.h"
#include "ort_api.h"

namespace cpu2vec {
namespace {

constexpr const char* kDomain = "cpu2vec";
constexpr int kOpSet = 7;

struct Settings {
  const Kernels* kernels;
  int threads;
};

struct Input {
  const char* name;
  ort::ElementType type;
  bool required, constant, of_layer = false;
};

struct Shape {
  int rank = -1;  // -1: the input is left out
  int64_t of[4] = {};
  bool given() const { return rank >= 0; }
  bool is(int64_t a) const { return rank == 1 && of[0] == a; }
  bool is(int64_t a, int64_t b) const { return rank == 2 && of[0] == a && of[1] == b; }
};

// Translates onnxruntime's own errors.
Error checked(const OrtApi* api, OrtStatus* status, const char* what) {
  if (!status) return {};
  ort::ReleaseStatus::call(api, status);
  return error("onnxruntime failed to provide %s", what);
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
  // NOTE: onnxruntime wants all inputs of layers to be there, so that an empty one stands for one that is left out.
  if (input.of_layer && !input.required && rank == 1 && to.of[0] == 0) return {};
  if (type != input.type) return error("%s must have the element type %d, not %d", input.name, input.type, type);
  if (rank > 4) return error("%s must have at most 4 dimensions, not %zu", input.name, rank);
  to.rank = (int)rank;
  return {};
}

// An input that is an initializer, which stays where it is for as long as the session lives.
struct Constant : Shape {
  const void* data = nullptr;
};

// The inputs of an op, in order. The last `repeated` are those of a layer, and come again for each layer.
struct InputTable {
  const Input* of;
  int count, repeated;

  const Input& operator[](int i) const { return of[i < count ? i : count - repeated + layer_input(i)]; }
  int fixed() const { return count - repeated; }
  int layer(int i) const { return (i - fixed()) / repeated; }
  int layer_input(int i) const { return (i - fixed()) % repeated; }
  int layers(int inputs) const { return repeated ? (inputs - fixed() + repeated - 1) / repeated : 0; }
};

// What is known about a node when its session is created.
struct Node {
  const OrtApi* api;
  const OrtKernelInfo* info;  // valid only while the node is created
  InputTable inputs;
  int layers;  // 0 for an op without any
  Settings settings;
  char name[128];
  Constant* constant;  // one for each input

  // Returns an initializer; null if it is left out.
  template <class T>
  const T* initializer(int i) const {
    return static_cast<const T*>(constant[i].data);
  }

  // Says in an error of which layer the input is.
  Error of_layer(int i, const Error& e) const {
    return e && i >= inputs.fixed() ? error("layer %d: %s", inputs.layer(i), e.text) : e;
  }

  void release() {}

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

  // Reads a name out of `names`, whose index becomes the member of an enum; the first one is the default.
  template <class Enum, int count>
  Error choice(const char* attribute, const char* const (&names)[count], const char* listed, Enum& to) const {
    char name[32];
    strcpy(name, names[0]);
    size_t size = sizeof name;
    OrtStatus* status = ort::GetTextAttribute::call(api, info, attribute, name, &size);
    if (status) {
      ort::ReleaseStatus::call(api, status);
      if (size > sizeof name) return error("%s must be %s", attribute, listed);
    }
    for (int i = 0; i < count; ++i)
      if (!strcmp(name, names[i])) return to = static_cast<Enum>(i), Error();
    return error("%s must be %s, not \"%s\"", attribute, listed, name);
  }

  Error activation(Activation& to) const {
    constexpr const char* kActivationNames[] = {"none", "gelu", "gelu_tanh", "relu", "silu", "tanh", "quick_gelu"};
    return choice("activation", kActivationNames, "none, gelu, gelu_tanh, relu, silu, tanh or quick_gelu", to);
  }

  Error mask(Mask& to) const {
    constexpr const char* kMaskNames[] = {"none", "causal"};
    return choice("mask", kMaskNames, "none or causal", to);
  }

  Error vector(int index, int64_t size) const {
    if (constant[index].is(size)) return {};
    return error("%s must have the shape [%lld]", inputs[index].name, (long long)size);
  }
};

// Tells whether input `i` has a name: an input that is left out has an empty one.
Error is_named(const Node& node, int i, bool& named) {
  size_t size = 0;  // includes the terminating zero
  OrtStatus* status = ort::GetNodeInputName::call(node.api, node.info, i, nullptr, &size);
  named = size > 1;
  return checked(node.api, status, node.inputs[i].name);
}

Error read_constant(Node& node, int i, bool is_given) {
  const Input& input = node.inputs[i];
  int constant = 0;
  const OrtValue* value = nullptr;
  if (is_given) {
    OrtStatus* status = ort::GetConstantInput::call(node.api, node.info, i, &constant, &value);
    if (Error e = checked(node.api, status, input.name)) return e;
  }
  if (!constant || !value) {
    bool named = false;
    if (Error e = is_given ? is_named(node, i, named) : Error()) return e;
    return named || input.required ? error("%s must be an initializer", input.name) : Error();
  }
  if (Error e = shape_of(node.api, value, input, node.constant[i])) return e;
  if (!node.constant[i].given()) return {};
  void* data = nullptr;
  OrtStatus* status = ort::GetData::call(node.api, const_cast<OrtValue*>(value), &data);
  if (Error e = checked(node.api, status, input.name)) return e;
  const size_t alignment = node.constant[i].rank == 4 ? kAlignment : sizeof(float);
  if (reinterpret_cast<uintptr_t>(data) % alignment)
    return error("%s must be aligned to %zu bytes: store it as external data on a page boundary", input.name,
                 alignment);
  node.constant[i].data = data;
  return {};
}

Error read_constants(Node& node) {
  size_t given = 0;
  if (Error e = checked(node.api, ort::GetNodeInputCount::call(node.api, node.info, &given), "the inputs")) return e;
  node.layers = node.inputs.layers((int)given);
  const int count = node.inputs.fixed() + node.layers * node.inputs.repeated;
  node.constant = static_cast<Constant*>(calloc(count, sizeof(Constant)));
  if (!node.constant) return error("there is not enough memory for a node");
  for (int i = 0; i < count; ++i) node.constant[i] = Constant();
  for (int i = 0; i < count; ++i)
    if (node.inputs[i].constant)
      if (Error e = read_constant(node, i, i < (int)given)) return node.of_layer(i, e);
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

// The four inputs of a weight, from index `first` on, and those of what is applied before its product.
struct WeightInputs {
  int first, smooth, shift;

  WeightInputs from(int at) const { return {first + at, smooth + at, shift + at}; }

  Error check(const Node& node, int& n) const {
    const Constant &packed = node.constant[first], &bias = node.constant[first + 3];
    if (bias.rank != 1 || bias.of[0] < 1 || bias.of[0] > 1 << 20)
      return error("%s must have one element per output channel", node.inputs[first + 3].name);
    n = (int)bias.of[0];
    if (packed.rank != 4 || packed.of[0] != panels(n) || packed.of[1] < 1 || packed.of[1] > 1 << 18 ||
        packed.of[2] != kPanel || packed.of[3] != kQuad)
      return error("%s must have the shape [%d, input channels / 4, 16, 4]", node.inputs[first].name, panels(n));
    // NOTE: channels padded to whole quads form as many groups, because kMaxGroupSize is a multiple of kQuad.
    const int grouped[2] = {first + 1, first + 2}, all = groups((int)packed.of[1] * kQuad);
    for (int i : grouped)
      if (!node.constant[i].is(all, n))
        return error("%s must have the shape [%d, %d], a row for each group of input channels", node.inputs[i].name, all,
                     n);
    const Constant* before[2] = {&node.constant[smooth], &node.constant[shift]};
    for (const Constant* shape : before)
      if (shape->given() && (shape->rank != 1 || shape->of[0] < 1 || shape->of[0] > 1 << 20 ||
                             quads((int)shape->of[0]) != packed.of[1]))
        return error("smooth and shift must have one element per input channel of the weight");
    return {};
  }

  Error read(const Node& node, int64_t k, int n, Weight& to) const {
    if (k < 1 || k > 1 << 20 || quads((int)k) != node.constant[first].of[1])
      return error("the input of %s must have %lld to %lld channels, not %lld", node.inputs[first].name,
                   (long long)node.constant[first].of[1] * 4 - 3, (long long)node.constant[first].of[1] * 4,
                   (long long)k);
    const int before[2] = {smooth, shift};
    for (int i : before)
      if (node.constant[i].given() && !node.constant[i].is(k))
        return error("%s must have the shape [%lld]", node.inputs[i].name, (long long)k);
    to = {node.initializer<int8_t>(first),     node.initializer<float>(first + 1), node.initializer<int32_t>(first + 2),
          node.initializer<float>(first + 3), node.initializer<float>(smooth),    node.initializer<float>(shift),
          (int)k, n};
    return {};
  }
};

struct NormInputs {
  int gamma, beta;

  NormInputs from(int at) const { return {gamma + at, beta + at}; }

  Error check(const Node& node, int n) const {
    if (node.constant[gamma].given() != node.constant[beta].given())
      return error("%s and %s must both be given", node.inputs[gamma].name, node.inputs[beta].name);
    if (!node.constant[gamma].given()) return {};
    if (Error e = node.vector(gamma, n)) return e;
    return node.vector(beta, n);
  }
  const Norm* read(const Node& node, float epsilon, Norm& to) const {
    to = {node.initializer<float>(gamma), node.initializer<float>(beta), epsilon};
    return to.gamma ? &to : nullptr;
  }
};

struct CustomOp : OrtCustomOp {
  Settings settings;
};

// Of layers, onnxruntime sees one more input than the op's own, of any number and type.
template <class Op>
constexpr InputTable table_of() {
  return {Op::kInputs, sizeof Op::kInputs / sizeof(Input), Op::kRepeated};
}

template <class Op>
void destroy(void* kernel) {
  Op* node = static_cast<Op*>(kernel);
  node->release();
  free(node->constant);
  free(node);
}

template <class Op>
OrtStatus* create(const OrtCustomOp* op, const OrtApi* api, const OrtKernelInfo* info, void** to) {
  Op* node = static_cast<Op*>(calloc(1, sizeof(Op)));
  if (!node) return status_of(api, Op::kName, "", error("there is not enough memory for a node"));
  node->api = api, node->info = info, node->inputs = table_of<Op>();
  node->settings = static_cast<const CustomOp*>(op)->settings;
  size_t size = sizeof node->name;
  OrtStatus* unnamed = ort::GetNodeName::call(api, info, node->name, &size);
  if (unnamed) ort::ReleaseStatus::call(api, unnamed);
  Error e = read_constants(*node);
  if (!e) e = node->create();
  node->info = nullptr;
  if (!e) return *to = node, nullptr;
  OrtStatus* status = status_of(api, Op::kName, node->name, e);
  destroy<Op>(node);
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
  op.GetInputTypeCount = [](const OrtCustomOp*) -> size_t { return table_of<Op>().fixed() + (Op::kRepeated > 0); };
  op.GetInputType = [](const OrtCustomOp*, size_t i) -> int {
    return (int)i < table_of<Op>().fixed() ? Op::kInputs[i].type : ort::kAny;
  };
  op.GetInputCharacteristic = [](const OrtCustomOp*, size_t i) -> int {
    if ((int)i >= table_of<Op>().fixed()) return ort::kVariadic;
    return Op::kInputs[i].required ? ort::kRequired : ort::kOptional;
  };
  op.GetOutputTypeCount = [](const OrtCustomOp*) { return (size_t)1; };
  op.GetOutputType = [](const OrtCustomOp*, size_t) -> int { return ort::kFloat; };
  op.GetOutputCharacteristic = [](const OrtCustomOp*, size_t) -> int { return ort::kRequired; };
  op.GetInputMemoryType = [](const OrtCustomOp*, size_t) { return 0; };
  op.GetVariadicInputMinArity = op.GetVariadicOutputMinArity = [](const OrtCustomOp*) { return 1; };
  op.GetVariadicInputHomogeneity = op.GetVariadicOutputHomogeneity = [](const OrtCustomOp*) { return 0; };
  // NOTE: onnxruntime ignores the version that a graph asks for; whoever loads a graph has to compare versions.
  op.GetStartVersion = op.GetEndVersion = [](const OrtCustomOp*) { return kOpSet; };
  op.CreateKernelV2 = create<Op>;
  op.KernelComputeV2 = compute<Op>;
  op.KernelDestroy = destroy<Op>;
  return op;
}

}  // namespace
}  // namespace cpu2vec
