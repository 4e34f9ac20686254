#include "ops.h"

#include <cstring>

#include "pooling.h"
#include "scratch.h"
#include "team.h"

namespace cpu2vec {
namespace {

constexpr int64_t kBlockRows = 128;       // intermediate results of a block of this size stay in the L2 cache
constexpr int64_t kRowsPerThread = 16;    // with fewer, threads divide the columns instead of the rows
constexpr int64_t kSharedValues = 2048;   // with fewer, one thread quantizes or normalizes all rows
constexpr int64_t kMaxTokens = 1 << 20;   // per text
constexpr int64_t kMaxRows = 1 << 24;     // tokens of all texts together

Error no_memory() { return error("there is not enough memory for this op"); }

int64_t part(int64_t of, int64_t i, int64_t parts) { return of * i / parts; }

template <class F>
void parallel(const Threads& threads, int count, F&& body) {
  if (count == 1) return body(0);
  threads.run(
      threads.context, count, [](void* f, size_t i) { (*static_cast<F*>(f))((int)i); }, (void*)&body);
}

// Whether any thread failed; the only possible failure is a lack of memory.
struct Failure {
  bool happened = false;
  void note() { __atomic_store_n(&happened, true, __ATOMIC_RELAXED); }
  Error answer() const { return happened ? no_memory() : Error(); }
};

// The scratch buffers that hold the 8-bit activations of one product on this thread.
struct ScratchSlots {
  ScratchUse rows, scales;
};
constexpr ScratchSlots kInput = {ScratchUse::kQuantized, ScratchUse::kScales};
constexpr ScratchSlots kHidden = {ScratchUse::kQuantizedHidden, ScratchUse::kScalesOfHidden};

bool reserve(const Kernels& kernels, int64_t rows, const Weight& w, ScratchSlots slots, QuantizedRows& to) {
  const int64_t padded = round_up(rows, kRowMultiple);
  const int64_t stride = round_up(w.k, kRowAlignment) * kernels.activation_bytes;
  to.q = static_cast<uint8_t*>(scratch(slots.rows, padded * stride));
  to.scale = static_cast<float*>(scratch(slots.scales, 3 * padded * groups(w.k) * sizeof(float)));
  if (!to.q || !to.scale) return false;
  to.low = to.scale + padded * groups(w.k);
  to.missing = reinterpret_cast<int32_t*>(to.low + padded * groups(w.k));
  to.stride = stride;
  return true;
}

// The same from a row on; k is the number of channels.
QuantizedRows from_row(int64_t row, int k, const QuantizedRows& q) {
  const int64_t scales = row * groups(k);
  return {q.q + row * q.stride, q.stride, q.scale + scales, q.low + scales, q.missing + scales};
}

// Normalizes the rows if the step says so, and quantizes them.
bool quantize(const Kernels& kernels, const float* x, int64_t rows, const LinearStep& step, const QuantizedRows& to) {
  const Weight& w = step.weight;
  if (step.input_norm) {
    auto* normalized = static_cast<float*>(scratch(ScratchUse::kNormalized, rows * w.k * sizeof(float)));
    if (!normalized) return false;
    kernels.add_norm(x, nullptr, (int)rows, w.k, step.input_norm, normalized);
    x = normalized;
  }
  for (int g = 0; g < groups(w.k); ++g)
    kernels.quantize({x + (size_t)g * group_width(w.k), (size_t)w.k}, (int)rows, w, g, to);
  return true;
}

bool quantized(const Kernels& kernels, const float* x, int64_t rows, const LinearStep& step, QuantizedRows& to) {
  return reserve(kernels, rows, step.weight, kInput, to) && quantize(kernels, x, rows, step, to);
}

Rows<float> columns_from(float* y, int panel, const Weight& w) { return {y + (size_t)panel * kPanel, (size_t)w.n}; }

void finish(const Kernels& kernels, const LinearStep& step, const float* residual, int64_t rows, float* y) {
  if (residual || step.norm) kernels.add_norm(y, residual, (int)rows, step.weight.n, step.norm, y);
}

void all_columns(const Kernels& kernels, const QuantizedRows& q, int64_t rows, const LinearStep& step,
                 const float* residual, float* y) {
  const Weight& w = step.weight;
  kernels.matmul(q, (int)rows, w, 0, panels(w.n), step.activation, columns_from(y, 0, w));
  finish(kernels, step, residual, rows, y);
}

// Runs a whole step on this thread, for the rows of one block.
bool step_on_rows(const Kernels& kernels, const float* x, int64_t rows, const LinearStep& step, const float* residual,
                  float* y) {
  QuantizedRows q;
  if (!quantized(kernels, x, rows, step, q)) return false;
  all_columns(kernels, q, rows, step, residual, y);
  return true;
}

// Runs both steps of a feed-forward block on this thread, for the rows of one block. Hidden channels are computed group
// by group of the second weight, so that only one group at a time is held in floats.
bool feed_forward_on_rows(const Kernels& kernels, const float* x, int64_t rows, const LinearStep& first,
                          const LinearStep& second, float* y) {
  const Weight &up = first.weight, &down = second.weight;
  const int width = group_width(down.k);
  QuantizedRows q, hidden_q;
  auto* hidden = static_cast<float*>(scratch(ScratchUse::kHidden, rows * width * sizeof(float)));
  if (!hidden || !quantized(kernels, x, rows, first, q)) return false;
  if (!reserve(kernels, rows, down, kHidden, hidden_q)) return false;
  for (int g = 0; g < groups(down.k); ++g) {
    const int begin = g * width / kPanel, end = panels(group_end(down.k, g));
    kernels.matmul(q, (int)rows, up, begin, end, first.activation, {hidden, (size_t)width});
    kernels.quantize({hidden, (size_t)width}, (int)rows, down, g, hidden_q);
  }
  all_columns(kernels, hidden_q, rows, second, x, y);
  return true;
}

// Calls body(first row, rows) for few rows of so many channels; each thread gets an equal share, if it is worth sharing.
template <class F>
void shares_of_rows(const Threads& threads, int64_t rows, int64_t channels, F body) {
  const int parts = rows * channels < kSharedValues ? 1 : rows < threads.count ? (int)rows : threads.count;
  parallel(threads, parts, [&](int i) {
    const int64_t row = part(rows, i, parts);
    body(row, part(rows, i + 1, parts) - row);
  });
}

// Runs a whole step for few rows; each thread computes some of the columns.
bool step_on_columns(const Kernels& kernels, const Threads& threads, const float* x, int64_t rows,
                     const LinearStep& step, const float* residual, float* y) {
  QuantizedRows q;
  Failure failure;
  const Weight& w = step.weight;
  const size_t k = w.k, n = w.n;
  if (!reserve(kernels, rows, w, kInput, q)) return false;
  shares_of_rows(threads, rows, k, [&](int64_t row, int64_t count) {
    if (!quantize(kernels, x + row * k, count, step, from_row(row, w.k, q))) failure.note();
  });
  if (failure.happened) return false;
  const int all = panels(w.n), parts = all < threads.count ? all : threads.count;
  parallel(threads, parts, [&](int i) {
    const int begin = (int)part(all, i, parts), end = (int)part(all, i + 1, parts);
    kernels.matmul(q, (int)rows, w, begin, end, step.activation, columns_from(y, begin, w));
  });
  if (!residual && !step.norm) return true;
  shares_of_rows(threads, rows, n, [&](int64_t row, int64_t count) {
    finish(kernels, step, residual ? residual + row * n : nullptr, count, y + row * n);
  });
  return true;
}

// Calls body(first row, rows) for blocks of rows; each thread gets an equal share of the rows.
template <class F>
void blocks_of_rows(const Threads& threads, int64_t rows, F body) {
  parallel(threads, threads.count, [&](int thread) {
    const int64_t begin = part(rows, thread, threads.count), share = part(rows, thread + 1, threads.count) - begin;
    const int64_t blocks = (share + kBlockRows - 1) / kBlockRows;
    for (int64_t b = 0; b < blocks; ++b) {
      const int64_t row = begin + part(share, b, blocks);
      body(row, begin + part(share, b + 1, blocks) - row);
    }
    trim_scratch();
  });
}

bool are_few(int64_t rows, const Threads& threads) {
  return threads.count > 1 && rows < kRowsPerThread * threads.count;
}

Error check_rows(int64_t rows) {
  if (rows <= kMaxRows) return {};
  return error("a call must have at most %lld tokens, not %lld", (long long)kMaxRows, (long long)rows);
}

Error check_lengths(const Lengths& lengths, int64_t rows) {
  int64_t sum = 0;
  for (int64_t i = 0; i < lengths.texts; ++i) {
    const int64_t length = lengths.of[i];
    if (length < 0 || length > kMaxTokens)
      return error("lengths[%lld] must be 0 to %lld tokens, not %lld", (long long)i, (long long)kMaxTokens,
                   (long long)length);
    sum += length;
    if (sum > rows) break;
  }
  if (sum != rows)
    return error("lengths must add up to the number of tokens, %lld, not to %lld%s", (long long)rows, (long long)sum,
                 sum > rows ? " or more" : "");
  return check_rows(rows);
}

// `rows`: the tokens that have a query, or null; there are `tokens` of all texts.
Error check_queries(const int64_t* rows, int64_t queries, int64_t tokens) {
  for (int64_t i = 0; rows && i < queries; ++i) {
    const int64_t least = i ? rows[i - 1] + 1 : 0;
    if (rows[i] < least || rows[i] >= tokens)
      return error("rows[%lld] must be %lld to %lld, because rows ascend, not %lld", (long long)i, (long long)least,
                   (long long)tokens - 1, (long long)rows[i]);
  }
  return {};
}

// Returns the index of the first query, from `first` on, whose token is not before `end`.
int64_t queries_before(const AttentionInput& x, int64_t first, int64_t end) {
  while (first < x.queries && x.rows[first] < end) ++first;
  return first;
}

Error check_ids(const Tokens& tokens, const EmbeddingTables& tables) {
  const auto& [ids, types, count, lengths] = tokens;
  int64_t row = 0;
  for (int64_t text = 0; text < lengths.texts; row += lengths.of[text++]) {
    const int64_t length = lengths.of[text], longest = tables.positions - tables.first_position;
    if (tables.position && length > longest)
      return error("text %lld must have at most %lld tokens, one per position, not %lld: truncate it", (long long)text,
                   (long long)longest, (long long)length);
    for (int64_t i = 0; i < length; ++i)
      if (ids[row + i] < 0 || ids[row + i] >= tables.words)
        return error("token %lld of text %lld must have an id of the word table, 0 to %lld, not %lld", (long long)i,
                     (long long)text, (long long)tables.words - 1, (long long)ids[row + i]);
    for (int64_t i = 0; types && i < length; ++i)
      if (types[row + i] < 0 || types[row + i] >= tables.types)
        return error("token %lld of text %lld must have a type of the table of types, 0 to %lld, not %lld",
                     (long long)i, (long long)text, (long long)tables.types - 1, (long long)types[row + i]);
  }
  return {};
}

}  // namespace

Error embedding(const Kernels& kernels, const Tokens& tokens, const EmbeddingTables& tables, float* y) {
  if (Error e = check_lengths(tokens.lengths, tokens.count)) return e;
  if (Error e = check_ids(tokens, tables)) return e;
  const size_t width = tables.width;
  const int64_t *ids = tokens.ids, *types = tokens.types;
  const Lengths& lengths = tokens.lengths;
  for (int64_t text = 0; text < lengths.texts; ++text)
    for (int64_t i = 0; i < lengths.of[text]; ++i, ++ids, y += width) {
      const float* position = tables.position ? tables.position + (tables.first_position + i) * width : nullptr;
      const float* type = types ? tables.type + *types++ * width : nullptr;
      kernels.embed(tables.word + *ids * width, tables.scale[*ids], position, type, tables.width, tables.norm, y);
    }
  return {};
}

Error linear(const Kernels& kernels, const Threads& threads, const float* x, int64_t rows, const LinearStep& step,
             float* y) {
  if (Error e = check_rows(rows)) return e;
  if (rows == 0) return {};
  if (are_few(rows, threads))
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
  if (are_few(rows, threads)) {
    auto* hidden = static_cast<float*>(scratch(ScratchUse::kHidden, rows * middle * sizeof(float)));
    const bool done = hidden && step_on_columns(kernels, threads, x, rows, first, nullptr, hidden) &&
                      step_on_columns(kernels, threads, hidden, rows, second, x, y);
    return done ? Error() : no_memory();
  }
  Failure failure;
  blocks_of_rows(threads, rows, [&](int64_t row, int64_t count) {
    if (!feed_forward_on_rows(kernels, x + row * k, count, first, second, y + row * k)) failure.note();
  });
  return failure.answer();
}

Error attention(const Kernels& kernels, const Threads& threads, const AttentionInput& x, int64_t rows,
                const Lengths& lengths, const AttentionShape& shape, float* y) {
  if (Error e = check_lengths(lengths, rows)) return e;
  if (Error e = check_queries(x.rows, x.queries, rows)) return e;
  if (rows == 0 || x.queries == 0) return {};
  const size_t width = shape.width, hidden = width * shape.heads;
  Failure failure;
  // A head's work is taken to be proportional to the text's length: threads get equal shares of tokens x heads.
  const int64_t work = rows * shape.heads, share = (work + threads.count - 1) / threads.count;
  parallel(threads, threads.count, [&](int thread) {
    int64_t before = 0, row = 0, query = 0;
    for (int64_t text = 0; text < lengths.texts; row += lengths.of[text++]) {
      const int64_t length = lengths.of[text], first = query;
      query = x.rows ? queries_before(x, first, row + length) : row + length;
      for (int h = 0; h < shape.heads && length; ++h, before += length) {
        if (before / share != thread || query == first) continue;
        void* memory = scratch(ScratchUse::kAttention, kernels.attention_scratch((int)length, shape.width));
        if (!memory) return failure.note();
        const auto of = [&](Rows<const float> part, int64_t from) { return part.data + from * part.stride + h * width; };
        const float* bias = shape.bias ? shape.bias + (size_t)h * (2 * shape.reach - 1) : nullptr;
        kernels.attention({of(x.query, first), of(x.key, row), of(x.value, row), x.query.stride, x.key.stride,
                           (int)(query - first), (int)length, shape.width, x.rows ? x.rows + first : nullptr, row,
                           shape.scale, bias, shape.reach, shape.mask, y + first * hidden + h * width, hidden},
                          memory);
      }
    }
    trim_scratch();
  });
  return failure.answer();
}

namespace {

Error run_encoder(const Kernels& kernels, const Threads& threads, const Tokens& tokens, const EncoderSteps& steps,
                  const int64_t* rows, int64_t queries, const PooledText* pooled, float* y) {
  const int64_t count = tokens.count, width = steps.tables.width;
  if (count == 0) {
    const Error e = embedding(kernels, tokens, steps.tables, y);
    if (pooled && !e) pool(pooled, tokens.lengths, nullptr, 0, nullptr, width, y);
    return e;
  }
  auto* state = static_cast<float*>(scratch(ScratchUse::kEncoder, 5 * count * width * sizeof(float)));
  if (!state) return no_memory();
  float *joined = state + count * width, *context = joined + 3 * count * width;
  float* attended = joined;  // queries, keys and values are not read any more when this is written
  Error e = embedding(kernels, tokens, steps.tables, state);
  for (int l = 0; l < steps.count && !e; ++l) {
    const EncoderLayer& layer = steps.layers[l];
    const bool is_last = l + 1 == steps.count, selects = is_last && rows;
    const size_t stride = layer.joined.weight.n;
    const Rows<const float> key = {selects ? joined : joined + width, stride}, value = {key.data + width, stride};
    AttentionInput x = {{joined, stride}, key, value, nullptr, count};
    e = linear(kernels, threads, state, count, layer.joined, joined);
    if (selects) {
      for (int64_t i = 0; i < queries; ++i) memmove(state + i * width, state + rows[i] * width, width * sizeof(float));
      float* query = joined + count * stride;
      if (!e) e = linear(kernels, threads, state, queries, layer.query, query);
      x = {{query, (size_t)width}, key, value, rows, queries};
    }
    if (!e) e = attention(kernels, threads, x, count, tokens.lengths, steps.attention, context);
    LinearStep output = layer.output;
    output.residual = state;
    if (!e) e = linear(kernels, threads, context, x.queries, output, attended);
    if (!e) e = feed_forward(kernels, threads, attended, x.queries, layer.first, layer.second, is_last && !pooled ? y : state);
  }
  if (pooled && !e) pool(pooled, tokens.lengths, rows, queries, state, width, y);
  return e;
}

}  // namespace

Error encoder(const Kernels& kernels, const Threads& threads, const Tokens& tokens, const EncoderSteps& steps,
              const int64_t* rows, int64_t queries, const PooledText* pooled, float* y) {
  if (Error e = check_rows(tokens.count)) return e;
  if (Error e = check_queries(rows, queries, tokens.count)) return e;
  if (Error e = check_pooled(pooled, tokens.lengths.texts)) return e;
  Error e;
  Team::run(threads, [&](const Threads& team) {
    e = run_encoder(kernels, team, tokens, steps, rows, queries, pooled, y);
    trim_scratch(ScratchUse::kEncoder);
  });
  return e;
}

}  // namespace cpu2vec
