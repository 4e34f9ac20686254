#include "ops.h"

#include <cstring>

#include "scratch.h"

namespace cpu2vec {
namespace {

constexpr int64_t kBlockRows = 128;       // what a block's steps hand to one another stays in the second cache
constexpr int64_t kRowsPerThread = 16;    // with fewer, threads share out columns instead of rows
constexpr int64_t kLongest = 1 << 20;     // tokens of one text
constexpr int64_t kMostRows = 1 << 24;

Error no_memory() { return error("there is not enough memory for this op"); }

int64_t part(int64_t of, int64_t i, int64_t parts) { return of * i / parts; }

template <class F>
void parallel(const Threads& threads, int count, F&& body) {
  if (count == 1) return body(0);
  threads.run(
      threads.context, count, [](void* f, size_t i) { (*static_cast<F*>(f))((int)i); }, (void*)&body);
}

// The first thing that went wrong on any thread: only lack of memory can.
struct Failure {
  bool happened = false;
  void note() { __atomic_store_n(&happened, true, __ATOMIC_RELAXED); }
  Error answer() const { return happened ? no_memory() : Error(); }
};

bool quantized(const Kernels& kernels, const float* x, int64_t rows, const Weight& w, QuantizedRows& to) {
  const int64_t padded = round_up(rows, kRowsOf), stride = round_up(w.k, kStrideOf);
  to.q = static_cast<uint8_t*>(scratch(ScratchUse::kQuantized, padded * stride));
  to.scale = static_cast<float*>(scratch(ScratchUse::kScales, 2 * padded * sizeof(float)));
  if (!to.q || !to.scale) return false;
  to.low = to.scale + padded;
  to.stride = stride;
  kernels.quantize(x, (int)rows, w, to);
  return true;
}

void finish(const Kernels& kernels, const LinearStep& step, const float* residual, int64_t rows, float* y) {
  if (residual || step.norm) kernels.add_norm(y, residual, (int)rows, step.weight.n, step.norm);
}

// All of a step, on this thread, for rows of one block.
bool step_on_rows(const Kernels& kernels, const float* x, int64_t rows, const LinearStep& step, const float* residual,
                  float* y) {
  QuantizedRows q;
  if (!quantized(kernels, x, rows, step.weight, q)) return false;
  kernels.matmul(q, (int)rows, step.weight, 0, panels(step.weight.n), step.activation, y);
  finish(kernels, step, residual, rows, y);
  return true;
}

// All of a step for few rows, each thread taking some of the columns.
bool step_on_columns(const Kernels& kernels, const Threads& threads, const float* x, int64_t rows,
                     const LinearStep& step, const float* residual, float* y) {
  QuantizedRows q;
  if (!quantized(kernels, x, rows, step.weight, q)) return false;
  const int all = panels(step.weight.n), parts = all < threads.count ? all : threads.count;
  parallel(threads, parts, [&](int i) {
    kernels.matmul(q, (int)rows, step.weight, (int)part(all, i, parts), (int)part(all, i + 1, parts), step.activation,
                   y);
  });
  finish(kernels, step, residual, rows, y);
  return true;
}

// body(first row, rows) over blocks of rows, a share of them on each thread.
template <class F>
void blocks_of_rows(const Threads& threads, int64_t rows, F body) {
  parallel(threads, threads.count, [&](int thread) {
    const int64_t begin = part(rows, thread, threads.count), share = part(rows, thread + 1, threads.count) - begin;
    const int64_t blocks = (share + kBlockRows - 1) / kBlockRows;
    for (int64_t b = 0; b < blocks; ++b) {
      const int64_t row = begin + part(share, b, blocks);
      body(row, begin + part(share, b + 1, blocks) - row);
    }
    give_back_scratch();
  });
}

bool few(int64_t rows, const Threads& threads) { return threads.count > 1 && rows < kRowsPerThread * threads.count; }

Error check_rows(int64_t rows) {
  if (rows > kMostRows) return error("%lld tokens are more than the %lld that one call may have", (long long)rows,
                                     (long long)kMostRows);
  return {};
}

Error check_lengths(const Lengths& lengths, int64_t rows) {
  int64_t sum = 0;
  for (int64_t i = 0; i < lengths.texts; ++i) {
    const int64_t length = lengths.of[i];
    if (length < 0 || length > kLongest)
      return error("lengths[%lld] is %lld; a text has 0 to %lld tokens", (long long)i, (long long)length,
                   (long long)kLongest);
    sum += length;
    if (sum > rows) break;
  }
  if (sum != rows)
    return error("lengths add up to %s%lld tokens, and there are %lld: give the length of every text",
                 sum > rows ? "at least " : "", (long long)sum, (long long)rows);
  return check_rows(rows);
}

Error check_ids(const int64_t* ids, const Lengths& lengths, const EmbeddingTables& tables) {
  int64_t row = 0;
  for (int64_t text = 0; text < lengths.texts; row += lengths.of[text++]) {
    const int64_t length = lengths.of[text], longest = tables.positions - tables.first_position;
    if (tables.position && length > longest)
      return error("text %lld has %lld tokens, more than the %lld that have a position: truncate it", (long long)text,
                   (long long)length, (long long)longest);
    for (int64_t i = 0; i < length; ++i)
      if (ids[row + i] < 0 || ids[row + i] >= tables.words)
        return error("token %lld of text %lld has the id %lld, outside the %lld rows of the word table", (long long)i,
                     (long long)text, (long long)ids[row + i], (long long)tables.words);
  }
  return {};
}

}  // namespace

Error embedding(const Kernels& kernels, const Threads&, const int64_t* ids, int64_t rows, const Lengths& lengths,
                const EmbeddingTables& tables, float* y) {
  if (Error e = check_lengths(lengths, rows)) return e;
  if (Error e = check_ids(ids, lengths, tables)) return e;
  const size_t width = tables.width;
  for (int64_t text = 0; text < lengths.texts; ++text)
    for (int64_t i = 0; i < lengths.of[text]; ++i, ++ids, y += width)
      kernels.embed(tables.word + *ids * width, tables.scale[*ids],
                    tables.position ? tables.position + (tables.first_position + i) * width : nullptr, tables.width,
                    tables.norm, y);
  return {};
}

Error linear(const Kernels& kernels, const Threads& threads, const float* x, int64_t rows, const LinearStep& step,
             float* y) {
  if (Error e = check_rows(rows)) return e;
  if (rows == 0) return {};
  if (few(rows, threads))
    return step_on_columns(kernels, threads, x, rows, step, step.residual, y) ? Error() : no_memory();
  const size_t k = step.weight.k, n = step.weight.n;
  Failure failure;
  blocks_of_rows(threads, rows, [&](int64_t row, int64_t count) {
    const float* residual = step.residual ? step.residual + row * n : nullptr;
    if (!step_on_rows(kernels, x + row * k, count, step, residual, y + row * n)) failure.note();
  });
  return failure.answer();
}

Error feed_forward(const Kernels& kernels, const Threads& threads, const float* x, int64_t rows,
                   const LinearStep& first, const LinearStep& second, float* y) {
  if (Error e = check_rows(rows)) return e;
  if (rows == 0) return {};
  const size_t k = first.weight.k, middle = first.weight.n;
  const auto memory = [&](int64_t count) {
    return static_cast<float*>(scratch(ScratchUse::kHidden, count * middle * sizeof(float)));
  };
  if (few(rows, threads)) {
    float* hidden = memory(rows);
    const bool done = hidden && step_on_columns(kernels, threads, x, rows, first, nullptr, hidden) &&
                      step_on_columns(kernels, threads, hidden, rows, second, x, y);
    return done ? Error() : no_memory();
  }
  Failure failure;
  blocks_of_rows(threads, rows, [&](int64_t row, int64_t count) {
    float* hidden = memory(count);
    if (!hidden || !step_on_rows(kernels, x + row * k, count, first, nullptr, hidden) ||
        !step_on_rows(kernels, hidden, count, second, x + row * k, y + row * k))
      failure.note();
  });
  return failure.answer();
}

Error attention(const Kernels& kernels, const Threads& threads, const float* qkv, int64_t rows, const Lengths& lengths,
                const AttentionShape& shape, float* y) {
  if (Error e = check_lengths(lengths, rows)) return e;
  if (rows == 0) return {};
  const size_t width = shape.width, hidden = width * shape.heads;
  Failure failure;
  // The work of a (text, head) is near its length: threads take equal shares of tokens x heads.
  const int64_t work = rows * shape.heads, share = (work + threads.count - 1) / threads.count;
  parallel(threads, threads.count, [&](int thread) {
    int64_t before = 0, row = 0;
    for (int64_t text = 0; text < lengths.texts; row += lengths.of[text++]) {
      const int64_t length = lengths.of[text];
      for (int h = 0; h < shape.heads && length; ++h, before += length) {
        if (before / share != thread) continue;
        void* memory = scratch(ScratchUse::kAttention, kernels.attention_scratch((int)length, shape.width));
        if (!memory) return failure.note();
        const float* query = qkv + row * 3 * hidden + h * width;
        const float* bias = shape.bias ? shape.bias + (size_t)h * (2 * shape.reach - 1) : nullptr;
        kernels.attention({query, query + hidden, query + 2 * hidden, 3 * hidden, (int)length, shape.width, shape.scale,
                           bias, shape.reach, y + row * hidden + h * width, hidden},
                          memory);
      }
    }
    give_back_scratch();
  });
  return failure.answer();
}

}  // namespace cpu2vec
