#include "scratch.h"

#include <pthread.h>

#include <cstdlib>

#include "kernels.h"

namespace cpu2vec {
namespace {

constexpr size_t kKept = size_t(4) << 20;  // bytes for one use

struct Piece {
  void* memory;
  size_t size;
};
struct Pieces {
  Piece of[kScratchUses];
};

pthread_key_t key;  // NOTE: not thread_local with a destructor, which would need the C++ run-time library

void release(void* pieces) {
  for (Piece& piece : static_cast<Pieces*>(pieces)->of) free(piece.memory);
  free(pieces);
}

__attribute__((constructor)) void make_key() { pthread_key_create(&key, release); }
__attribute__((destructor)) void delete_key() { pthread_key_delete(key); }

Pieces* pieces_of_this_thread() {
  auto* pieces = static_cast<Pieces*>(pthread_getspecific(key));
  if (!pieces && (pieces = static_cast<Pieces*>(calloc(1, sizeof(Pieces))))) pthread_setspecific(key, pieces);
  return pieces;
}

}  // namespace

void* scratch(ScratchUse use, size_t bytes) {
  Pieces* pieces = pieces_of_this_thread();
  if (!pieces) return nullptr;
  Piece& piece = pieces->of[(int)use];
  if (piece.size < bytes) {
    free(piece.memory);
    piece.size = (size_t)round_up((int64_t)bytes, 4096);
    piece.memory = aligned_alloc(4096, piece.size);
    if (!piece.memory) piece.size = 0;
  }
  return piece.memory;
}

void give_back_scratch() {
  auto* pieces = static_cast<Pieces*>(pthread_getspecific(key));
  if (!pieces) return;
  for (Piece& piece : pieces->of)
    if (piece.size > kKept) {
      free(piece.memory);
      piece = {nullptr, 0};
    }
}

}  // namespace cpu2vec
