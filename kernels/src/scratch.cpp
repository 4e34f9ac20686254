#include "scratch.h"

#include <pthread.h>

#include <cstdlib>

#include "kernels.h"

namespace cpu2vec {
namespace {

// Of one use. A larger buffer is freed after each op, which then gets new pages from the kernel: 0.5 ms a megabyte. This
// is enough for what an encoder of 768 columns keeps of 512 tokens.
constexpr size_t kMaxKeptBytes = size_t(8) << 20;

struct Buffer {
  void* memory;
  size_t size;
};
struct Buffers {
  Buffer of[kScratchUses];
};

pthread_key_t key;  // NOTE: thread_local with a destructor would need the C++ runtime library

void release(void* buffers) {
  for (Buffer& buffer : static_cast<Buffers*>(buffers)->of) free(buffer.memory);
  free(buffers);
}

__attribute__((constructor)) void make_key() { pthread_key_create(&key, release); }
__attribute__((destructor)) void delete_key() { pthread_key_delete(key); }

Buffers* buffers_of_this_thread() {
  auto* buffers = static_cast<Buffers*>(pthread_getspecific(key));
  if (!buffers && (buffers = static_cast<Buffers*>(calloc(1, sizeof(Buffers))))) pthread_setspecific(key, buffers);
  return buffers;
}

}  // namespace

void* scratch(ScratchUse use, size_t bytes) {
  Buffers* buffers = buffers_of_this_thread();
  if (!buffers) return nullptr;
  Buffer& buffer = buffers->of[(int)use];
  if (buffer.size < bytes) {
    free(buffer.memory);
    buffer.size = (size_t)round_up((int64_t)bytes, 4096);
    buffer.memory = aligned_alloc(4096, buffer.size);
    if (!buffer.memory) buffer.size = 0;
  }
  return buffer.memory;
}

void trim_scratch(ScratchUse last) {
  auto* buffers = static_cast<Buffers*>(pthread_getspecific(key));
  if (!buffers) return;
  for (int use = 0; use <= (int)last; ++use) {
    Buffer& buffer = buffers->of[use];
    if (buffer.size <= kMaxKeptBytes) continue;
    free(buffer.memory);
    buffer = {nullptr, 0};
  }
}

}  // namespace cpu2vec
