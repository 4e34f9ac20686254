// The part of onnxruntime's C API that custom ops need, declared here because no package ships its headers. The API is
// a table of functions that is only ever appended to; functions are called by their index in it. Only ort_node.h
// includes this file.
#pragma once
#include <cstddef>
#include <cstdint>

struct OrtStatus;
struct OrtValue;
struct OrtKernelInfo;
struct OrtKernelContext;
struct OrtSessionOptions;
struct OrtCustomOpDomain;
struct OrtTensorTypeAndShapeInfo;
struct OrtApi;

struct OrtApiBase {
  const OrtApi* (*GetApi)(uint32_t version);
  const char* (*GetVersionString)();
};

// As of version 17 of the API: onnxruntime reads only the members that `version` had.
struct OrtCustomOp {
  uint32_t version;
  void* (*CreateKernel)(const OrtCustomOp*, const OrtApi*, const OrtKernelInfo*);
  const char* (*GetName)(const OrtCustomOp*);
  const char* (*GetExecutionProviderType)(const OrtCustomOp*);
  int (*GetInputType)(const OrtCustomOp*, size_t);
  size_t (*GetInputTypeCount)(const OrtCustomOp*);
  int (*GetOutputType)(const OrtCustomOp*, size_t);
  size_t (*GetOutputTypeCount)(const OrtCustomOp*);
  void (*KernelCompute)(void*, OrtKernelContext*);
  void (*KernelDestroy)(void*);
  int (*GetInputCharacteristic)(const OrtCustomOp*, size_t);
  int (*GetOutputCharacteristic)(const OrtCustomOp*, size_t);
  int (*GetInputMemoryType)(const OrtCustomOp*, size_t);
  int (*GetVariadicInputMinArity)(const OrtCustomOp*);
  int (*GetVariadicInputHomogeneity)(const OrtCustomOp*);
  int (*GetVariadicOutputMinArity)(const OrtCustomOp*);
  int (*GetVariadicOutputHomogeneity)(const OrtCustomOp*);
  OrtStatus* (*CreateKernelV2)(const OrtCustomOp*, const OrtApi*, const OrtKernelInfo*, void**);
  OrtStatus* (*KernelComputeV2)(void*, OrtKernelContext*);
  OrtStatus* (*InferOutputShapeFn)(const OrtCustomOp*, void*);
  int (*GetStartVersion)(const OrtCustomOp*);
  int (*GetEndVersion)(const OrtCustomOp*);
};

namespace ort {

constexpr uint32_t kApiVersion = 17;

enum ElementType : int { kAny = 0, kFloat = 1, kInt8 = 3, kInt32 = 6, kInt64 = 7 };
enum ErrorCode : int { kFail = 1, kInvalidArgument = 2 };
enum Characteristic : int { kRequired = 0, kOptional = 1, kVariadic = 2 };

template <int kIndex, class Result, class... Parameters>
struct Function {
  static Result call(const OrtApi* api, Parameters... parameters) {
    const void* const* table = reinterpret_cast<const void* const*>(api);
    return reinterpret_cast<Result (*)(Parameters...)>(const_cast<void*>(table[kIndex]))(parameters...);
  }
};

using CreateStatus = Function<0, OrtStatus*, ErrorCode, const char*>;
using CreateDomain = Function<26, OrtStatus*, const char*, OrtCustomOpDomain**>;
using AddToDomain = Function<27, OrtStatus*, OrtCustomOpDomain*, const OrtCustomOp*>;
using AddDomain = Function<28, OrtStatus*, OrtSessionOptions*, OrtCustomOpDomain*>;
using GetData = Function<51, OrtStatus*, OrtValue*, void**>;
using GetElementType = Function<60, OrtStatus*, const OrtTensorTypeAndShapeInfo*, int*>;
using GetDimensionsCount = Function<61, OrtStatus*, const OrtTensorTypeAndShapeInfo*, size_t*>;
using GetDimensions = Function<62, OrtStatus*, const OrtTensorTypeAndShapeInfo*, int64_t*, size_t>;
using GetTypeAndShape = Function<65, OrtStatus*, const OrtValue*, OrtTensorTypeAndShapeInfo**>;
using GetFloatAttribute = Function<85, OrtStatus*, const OrtKernelInfo*, const char*, float*>;
using GetIntAttribute = Function<86, OrtStatus*, const OrtKernelInfo*, const char*, int64_t*>;
using GetTextAttribute = Function<87, OrtStatus*, const OrtKernelInfo*, const char*, char*, size_t*>;
using GetInputCount = Function<88, OrtStatus*, const OrtKernelContext*, size_t*>;
using GetInput = Function<90, OrtStatus*, const OrtKernelContext*, size_t, const OrtValue**>;
using GetOutput = Function<91, OrtStatus*, OrtKernelContext*, size_t, const int64_t*, size_t, OrtValue**>;
using ReleaseStatus = Function<93, void, OrtStatus*>;
using ReleaseShape = Function<99, void, OrtTensorTypeAndShapeInfo*>;
using GetNodeInputCount = Function<230, OrtStatus*, const OrtKernelInfo*, size_t*>;
using GetNodeInputName = Function<232, OrtStatus*, const OrtKernelInfo*, size_t, char*, size_t*>;
using HasConfigEntry = Function<237, OrtStatus*, const OrtSessionOptions*, const char*, int*>;
using GetConfigEntry = Function<238, OrtStatus*, const OrtSessionOptions*, const char*, char*, size_t*>;
using GetNodeName = Function<244, OrtStatus*, const OrtKernelInfo*, char*, size_t*>;
using GetConstantInput = Function<249, OrtStatus*, const OrtKernelInfo*, size_t, int*, const OrtValue**>;
using ParallelFor = Function<274, OrtStatus*, const OrtKernelContext*, void (*)(void*, size_t), size_t, size_t, void*>;

}  // namespace ort
