// Registers the ops with a session, and says what the library has.
#include <pthread.h>

#include "dispatch.h"
#include "ort_encoder.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace cpu2vec {
namespace {

constexpr int kMaxThreads = 1024;

// The ops with one pair of settings. They are never released, because sessions refer to them for as long as they live;
// a process has one of these for each pair of settings that it uses.
constexpr int kOps = 5;
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
  r->ops[4] = custom_op<Encoder>(settings);
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
