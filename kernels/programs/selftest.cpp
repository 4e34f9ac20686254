// Checks every instruction set that this machine has against the scalar kernels, and the ops over whole batches, with
// random shapes, sizes at the edges of groups, non-finite values, and wrong ids and lengths. It needs no onnxruntime,
// so that it runs under emulators and sanitizers. Arguments: the number of random cases, and the names of instruction
// sets that must be among those tested.
#include <pthread.h>

#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "../src/dispatch.h"
#include "../src/ops.h"
#include "../src/pooling.h"

using namespace cpu2vec;

namespace {

int failures = 0;

__attribute__((format(printf, 4, 5))) void check(bool right, const char* isa, const char* what, const char* format, ...) {
  if (right) return;
  ++failures;
  printf("FAILED %s: %s, ", isa, what);
  va_list values;
  va_start(values, format);
  vprintf(format, values);
  va_end(values);
  printf("\n");
}

struct Random {
  uint64_t state;
  uint32_t next() {  // Knuth's multiplier for 64 bits
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33);
  }
  int below(int n) { return (int)(next() % (uint32_t)n); }
  float number() { return (float)next() / 1073741824.0f - 1; }
  int size() {
    constexpr int kSizes[] = {1,  2,  3,  4,   5,   15,  16,  17,  20,  32,  48,  60,
                              64, 80, 96, 100, 128, 132, 192, 260, 320, 321, 384, 650};
    return kSizes[below(sizeof kSizes / sizeof(int))];
  }
  int rows() {
    constexpr int kRows[] = {1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 64, 65};
    return kRows[below(sizeof kRows / sizeof(int))];
  }
};

// Memory of exactly this size, so that a sanitizer detects an overrun of one byte; aligned as weights are.
template <class T>
struct Block {
  explicit Block(size_t count) : size(count) {
    void* memory = nullptr;
    if (posix_memalign(&memory, kAlignment, count ? count * sizeof(T) : 1)) abort();
    data = static_cast<T*>(memory);
    memset(memory, 0, count * sizeof(T));
  }
  Block(const Block&) = delete;
  ~Block() { free(data); }
  void fill(Random& random, float scale = 1, float offset = 0) {
    for (size_t i = 0; i < size; ++i) data[i] = (T)(random.number() * scale + offset);
  }
  // So that nothing that another instruction set has written looks like an output.
  void spoil() { memset(data, 0x7f, size * sizeof(T)); }
  T* data;
  size_t size;
};

struct Map {
  Block<int8_t> packed;
  Block<float> scale, bias, smooth, shift;
  Block<int32_t> sums;
  Weight weight;

  Map(Random& random, int k, int n)
      : packed((size_t)panels(n) * quads(k) * kPanel * kQuad),
        scale((size_t)groups(k) * n),
        bias(n),
        smooth(k),
        shift(k),
        sums(scale.size) {
    for (int j = 0; j < n; ++j)
      for (int i = 0; i < k; ++i) {
        const int8_t w = (int8_t)(random.below(255) - 127);
        packed.data[((size_t)(j / kPanel * quads(k) + i / kQuad) * kPanel + j % kPanel) * kQuad + i % kQuad] = w;
        sums.data[i / group_width(k) * n + j] += w;
      }
    scale.fill(random, 0.2f / 127 / std::sqrt((float)k), 1.0f / 127 / std::sqrt((float)k));
    bias.fill(random);
    smooth.fill(random, 0.5f, 1);
    shift.fill(random);
    weight = {packed.data, scale.data, sums.data, bias.data, nullptr, nullptr, k, n};
    if (random.below(2)) weight.smooth = smooth.data;
    if (random.below(2)) weight.shift = shift.data;
  }
};

// The instruction sets to test. PERF: all get the same inputs, and what the scalar kernels make of them is computed once:
// under a sanitizer, that takes as long as all others together.
struct Tested {
  const Kernels* kernels[8];
  int count = 0;

  Tested() {
    char names[128];
    snprintf(names, sizeof names, "%s", usable_names());
    for (char* name = strtok(names, ","); name; name = strtok(nullptr, ",")) kernels[count++] = usable(name);
  }
  const Kernels* const* begin() const { return kernels; }
  const Kernels* const* end() const { return kernels + count; }
};

// Tells whether `a` is `b` up to a relative tolerance; NaN must be where NaN is expected.
bool is_close(const Block<float>& a, const Block<float>& b, double tolerance) {
  double error = 0, size = 1e-12;
  for (size_t i = 0; i < a.size; ++i) {
    if (std::isnan(b.data[i]) != std::isnan(a.data[i])) return false;
    if (std::isnan(b.data[i])) continue;
    error += std::pow((double)a.data[i] - b.data[i], 2);
    size += std::pow((double)b.data[i], 2);
  }
  return std::sqrt(error) <= tolerance * (std::sqrt(size) + std::sqrt((double)a.size));
}

// Tells whether n values have the same bits. Which NaN a computation gives depends on the compiler.
bool same_bits(const float* a, const float* b, size_t n) {
  for (size_t i = 0; i < n; ++i)
    if (memcmp(a + i, b + i, sizeof(float)) && !(std::isnan(a[i]) && std::isnan(b[i]))) return false;
  return true;
}

// Threads that the test starts itself.
Threads threads(int count) {
  return {count, nullptr, [](void*, int n, void (*body)(void*, size_t), void* data) {
            struct Job {
              void (*body)(void*, size_t);
              void* data;
              size_t i;
              pthread_t thread;
            } jobs[8];
            for (int i = 0; i < n; ++i) {
              jobs[i] = {body, data, (size_t)i, {}};
              pthread_create(
                  &jobs[i].thread, nullptr,
                  [](void* job) -> void* {
                    auto* j = static_cast<Job*>(job);
                    return j->body(j->data, j->i), nullptr;
                  },
                  &jobs[i]);
            }
            for (int i = 0; i < n; ++i) pthread_join(jobs[i].thread, nullptr);
          }};
}

void inject_non_finite(Random& random, Block<float>& x) {
  constexpr float kBad[] = {NAN, INFINITY, -INFINITY};
  if (x.size && random.below(4) == 0) x.data[random.below((int)x.size)] = kBad[random.below(3)];
}

void test_linear(const Tested& tested, Random& random) {
  const int rows = random.rows(), k = random.size(), n = random.size();
  const Map map(random, k, n);
  Block<float> x((size_t)rows * k), residual((size_t)rows * n), gamma(n), beta(n), y(residual.size), expected(y.size);
  Block<float> input_gamma(k), input_beta(k);
  x.fill(random, 3, 0.5f), residual.fill(random), gamma.fill(random), beta.fill(random);
  input_gamma.fill(random), input_beta.fill(random);
  inject_non_finite(random, x);
  const Norm norm = {gamma.data, beta.data, 1e-2f}, input_norm = {input_gamma.data, input_beta.data, 1e-1f};
  LinearStep step = {map.weight, Activation::kNone, nullptr, nullptr, nullptr};
  linear(kScalar, threads(1), x.data, rows, step, expected.data);
  for (const Kernels* kernels : tested) {
    y.spoil();
    linear(*kernels, threads(1), x.data, rows, step, y.data);
    check(is_close(y, expected, 0), kernels->name, "product", "rows %d k %d n %d", rows, k, n);
  }
  step.activation = static_cast<Activation>(random.below(kActivations));
  if (random.below(2)) step.residual = residual.data;
  if (random.below(2)) step.norm = &norm;
  if (random.below(2)) step.input_norm = &input_norm;
  linear(kScalar, threads(1), x.data, rows, step, expected.data);
  const Threads some = threads(1 + random.below(3));
  for (const Kernels* kernels : tested) {
    y.spoil();
    linear(*kernels, some, x.data, rows, step, y.data);
    // A normalized value that rounds the other way moves one activation by one step.
    check(is_close(y, expected, step.input_norm ? 2e-2 : 1e-3), kernels->name, "linear step", "rows %d k %d n %d", rows, k,
          n);
  }
}

void test_feed_forward(const Tested& tested, Random& random) {
  const int rows = random.rows() * (random.below(4) ? 1 : 5), k = random.size(), middle = random.size();
  const Map first(random, k, middle), second(random, middle, k);
  Block<float> x((size_t)rows * k), gamma(k), beta(k), y(x.size), expected(x.size);
  x.fill(random), gamma.fill(random), beta.fill(random);
  inject_non_finite(random, x);
  const Norm norm = {gamma.data, beta.data, 1e-1f};
  const Norm* input_norm = random.below(2) ? &norm : nullptr;
  const LinearStep up = {first.weight, Activation::kGelu, nullptr, nullptr, input_norm};
  const LinearStep down = {second.weight, Activation::kNone, nullptr, &norm, nullptr};
  feed_forward(kScalar, threads(1), x.data, rows, up, down, expected.data);
  const Threads some = threads(1 + random.below(3));
  for (const Kernels* kernels : tested) {
    y.spoil();
    feed_forward(*kernels, some, x.data, rows, up, down, y.data);
    check(is_close(y, expected, 2e-2), kernels->name, "feed-forward", "rows %d k %d middle %d", rows, k, middle);
  }
}

// Tells whether row `bad` is all NaN and every other row has the same bits as in `without`.
bool only_row(int bad, const Block<float>& y, const Block<float>& without, int rows) {
  const size_t n = y.size / rows;
  for (size_t i = 0; i < y.size; ++i)
    if ((int)(i / n) == bad ? !std::isnan(y.data[i]) : memcmp(y.data + i, without.data + i, sizeof(float)))
      return false;
  return true;
}

// Checks sizes at the edges of groups, down to a last group of one channel: products are the scalar kernels', and one
// non-finite value, first or last in any group, makes its whole row NaN and no other.
void test_groups(const Tested& tested, Random& random) {
  constexpr int kEdges[] = {319, 320, 321, 639, 640, 641, 960, 961, 1281}, rows = 18, n = 33, kThreads[] = {1, 3, 8};
  for (int k : kEdges) {
    const Map map(random, k, n);
    Block<float> x((size_t)rows * k), y((size_t)rows * n), expected(y.size), finite(y.size);
    x.fill(random, 3, 0.5f);
    const LinearStep step = {map.weight, Activation::kNone, nullptr, nullptr, nullptr};
    linear(kScalar, threads(1), x.data, rows, step, expected.data);
    Random next = random;
    for (const Kernels* kernels : tested) {
      next = random;
      for (int count : kThreads) {
        y.spoil();
        linear(*kernels, threads(count), x.data, rows, step, y.data);
        check(is_close(y, expected, 0), kernels->name, "product in groups", "k %d threads %d", k, count);
      }
      memcpy(finite.data, y.data, y.size * sizeof(float));
      for (int g = 0; g < groups(k); ++g) {
        const int ends[] = {g * group_width(k), group_end(k, g) - 1};
        for (int channel : ends) {
          const int row = next.below(rows);
          float& value = x.data[(size_t)row * k + channel];
          const float before = value;
          value = next.below(2) ? NAN : INFINITY;
          y.spoil();
          linear(*kernels, threads(1), x.data, rows, step, y.data);
          check(only_row(row, y, finite, rows), kernels->name, "not finite in one group", "k %d channel %d", k, channel);
          value = before;
        }
      }
    }
    random = next;
  }
}

// Checks the lowest and highest activations times the lowest and highest weights, side by side: no sum may saturate.
void test_extremes(const Tested& tested, Random& random) {
  constexpr int rows = 13, k = 640, n = 35;
  Map map(random, k, n);
  memset(map.sums.data, 0, map.sums.size * sizeof(int32_t));
  for (int j = 0; j < n; ++j)
    for (int i = 0; i < k; ++i) {
      const int8_t w = (j + (j % 3 ? 0 : i)) % 2 ? 127 : -127;
      map.packed.data[((size_t)(j / kPanel * quads(k) + i / kQuad) * kPanel + j % kPanel) * kQuad + i % kQuad] = w;
      map.sums.data[i / group_width(k) * n + j] += w;
    }
  map.weight.smooth = map.weight.shift = nullptr;
  Block<float> x((size_t)rows * k), y((size_t)rows * n), expected(y.size);
  for (size_t i = 0; i < x.size; ++i) x.data[i] = random.below(8) ? (i / k % 2 ? 1 : -1) : (float)(random.below(3) - 1);
  const LinearStep step = {map.weight, Activation::kNone, nullptr, nullptr, nullptr};
  linear(kScalar, threads(1), x.data, rows, step, expected.data);
  for (const Kernels* kernels : tested) {
    y.spoil();
    linear(*kernels, threads(1), x.data, rows, step, y.data);
    check(!memcmp(y.data, expected.data, y.size * sizeof(float)), kernels->name, "extremes", "rows %d k %d n %d", rows, k,
          n);
  }
}

// Checks hidden channels at the edges of groups: the path for few rows, with more threads than some products have
// panels, computes the same bits as the path for blocks of rows; NaN in a hidden channel of any group makes rows NaN.
void test_hidden_groups(const Tested& tested, Random& random) {
  constexpr int kEdges[] = {320, 321, 640, 641, 1281}, rows = 35, k = 20;
  constexpr int kThreads[] = {1, 2, 3, 8}, kRows[] = {rows, 16, 1};
  for (int middle : kEdges) {
    Map first(random, k, middle);
    const Map second(random, middle, k);
    Block<float> x((size_t)rows * k), y(x.size), expected(x.size), in_blocks(x.size);
    x.fill(random);
    const LinearStep up = {first.weight, Activation::kGelu, nullptr, nullptr, nullptr};
    const LinearStep down = {second.weight, Activation::kNone, nullptr, nullptr, nullptr};
    feed_forward(kScalar, threads(1), x.data, rows, up, down, expected.data);
    for (const Kernels* kernels : tested) {
      y.spoil();
      feed_forward(*kernels, threads(1), x.data, rows, up, down, y.data);
      check(is_close(y, expected, 2e-2), kernels->name, "feed-forward in groups", "middle %d", middle);
      memcpy(in_blocks.data, y.data, y.size * sizeof(float));
      for (int count : kThreads)
        for (int some : kRows) {
          y.spoil();
          feed_forward(*kernels, threads(count), x.data, some, up, down, y.data);
          check(!memcmp(y.data, in_blocks.data, (size_t)some * k * sizeof(float)), kernels->name, "bits of few rows",
                "middle %d threads %d rows %d", middle, count, some);
        }
      for (int g = 0; g < groups(middle); ++g)
        for (int count : kThreads) {
          float& bias = first.bias.data[group_end(middle, g) - 1];
          const float before = bias;
          bias = NAN;
          y.spoil();
          feed_forward(*kernels, threads(count), x.data, 2, up, down, y.data);
          for (int i = 0; i < 2 * k; ++i)
            check(std::isnan(y.data[i]), kernels->name, "NaN in one hidden channel", "middle %d group %d", middle, g);
          bias = before;
        }
    }
  }
}

void test_attention(const Tested& tested, Random& random) {
  constexpr int kWidths[] = {1, 3, 16, 26, 32, 48, 64, 80, 128};
  const int heads = 1 + random.below(3), width = kWidths[random.below(9)], texts = random.below(4);
  Block<int64_t> lengths(texts);
  int64_t rows = 0;
  for (int i = 0; i < texts; ++i) {
    constexpr int kLengths[] = {0, 1, 5, 16, 30, 63, 64, 65, 90, 257, 300};
    rows += lengths.data[i] = kLengths[random.below(random.below(3) ? 9 : 11)];
  }
  const int reach = 1 + random.below(90);
  Block<float> qkv((size_t)rows * 3 * heads * width), bias((size_t)heads * (2 * reach - 1));
  Block<float> y((size_t)rows * heads * width), expected(y.size);
  qkv.fill(random, 1.5f), bias.fill(random);
  inject_non_finite(random, qkv);
  const float* biases = random.below(2) ? bias.data : nullptr;
  const auto mask = static_cast<Mask>(random.below(kMasks));
  const AttentionShape shape = {heads, width, 1 / std::sqrt((float)width), biases, reach, mask};
  const Lengths of = {lengths.data, texts};
  const size_t hidden = (size_t)heads * width, stride = 3 * hidden;
  const Rows<const float> key = {qkv.data + hidden, stride}, value = {qkv.data + 2 * hidden, stride};
  const AttentionInput all = {{qkv.data, stride}, key, value, nullptr, rows};
  attention(kScalar, threads(1), all, rows, of, shape, expected.data);
  const Threads for_all = threads(1 + random.below(3));

  Block<int64_t> some(rows);
  Block<float> query(rows * hidden), found(y.size);
  int64_t queries = 0;
  const int left_out = 1 + random.below(40);
  for (int64_t row = 0; row < rows; ++row) {
    if (random.below(left_out)) continue;
    for (size_t i = 0; i < hidden; ++i) query.data[queries * hidden + i] = qkv.data[row * stride + i];
    some.data[queries++] = row;
  }
  const AttentionInput few = {{query.data, hidden}, key, value, some.data, queries};
  const Threads for_few = threads(1 + random.below(3));
  for (const Kernels* kernels : tested) {
    y.spoil(), found.spoil();
    attention(*kernels, for_all, all, rows, of, shape, y.data);
    check(is_close(y, expected, 1.5e-2), kernels->name, "attention", "rows %d heads %d width %d", (int)rows, heads, width);
    attention(*kernels, for_few, few, rows, of, shape, found.data);
    for (int64_t i = 0; i < queries; ++i)
      check(same_bits(found.data + i * hidden, y.data + some.data[i] * hidden, hidden), kernels->name,
            "attention of some rows", "row %d heads %d width %d", (int)some.data[i], heads, width);
  }
}

void test_embedding(const Tested& tested, Random& random) {
  const int width = random.size() + 3, words = 1 + random.below(20), positions = random.below(30);
  const int texts = random.below(4);
  Block<int64_t> lengths(texts);
  int64_t rows = random.below(20) / 19;  // rarely one more than the lengths add up to
  for (int i = 0; i < texts; ++i) {
    lengths.data[i] = random.below(20) - random.below(30) / 29;
    rows += lengths.data[i] > 0 ? lengths.data[i] : 0;
  }
  Block<int64_t> ids(rows);
  for (int64_t i = 0; i < rows; ++i) ids.data[i] = random.below(words + random.below(2)) - random.below(50) / 49;
  const int kinds = random.below(3);
  Block<int64_t> types(rows);
  for (int64_t i = 0; i < rows; ++i) types.data[i] = kinds ? random.below(kinds + random.below(50) / 49) : 0;  // rarely one too many
  Block<int8_t> word((size_t)words * width);
  Block<float> token_type((size_t)kinds * width);
  Block<float> scale(words), position((size_t)positions * width), gamma(width), beta(width);
  Block<float> y(rows * width), expected(y.size);
  token_type.fill(random), word.fill(random, 127), scale.fill(random), position.fill(random), gamma.fill(random), beta.fill(random);
  const Norm norm = {gamma.data, beta.data, 1e-2f};
  const EmbeddingTables tables = {word.data,      scale.data, random.below(2) ? position.data : nullptr, words, positions,
                                  random.below(3), width,      random.below(2) ? &norm : nullptr, token_type.data, kinds};
  const int64_t* given = kinds ? types.data : nullptr;
  const Lengths of = {lengths.data, texts};
  const Tokens tokens = {ids.data, given, rows, of};
  const Error a = embedding(kScalar, tokens, tables, expected.data);
  for (const Kernels* kernels : tested) {
    y.spoil();
    const Error b = embedding(*kernels, tokens, tables, y.data);
    check(!strcmp(a.text, b.text), kernels->name, "the same error", "%s and %s", a.text, b.text);
    check(a || is_close(y, expected, 1e-4), kernels->name, "embedding", "width %d", width);
  }
}

struct LayerMaps {
  Map joined, query, output, first, second;

  LayerMaps(Random& random, int hidden, int middle, int parts)
      : joined(random, hidden, parts * hidden),
        query(random, hidden, hidden),
        output(random, hidden, hidden),
        first(random, hidden, middle),
        second(random, middle, hidden) {}

  EncoderLayer steps(const Norm* before, const Norm* after) const {
    return {{joined.weight, Activation::kNone, nullptr, nullptr, before},
            {query.weight, Activation::kNone, nullptr, nullptr, before},
            {output.weight, Activation::kNone, nullptr, after, nullptr},
            {first.weight, Activation::kGelu, nullptr, nullptr, before},
            {second.weight, Activation::kNone, nullptr, after, nullptr}};
  }
};

// The mean of those of `count` rows whose `token` is in [begin, end), added in their order.
void mean_of(const float* x, const int64_t* token, int64_t count, int64_t begin, int64_t end, int width, float* y) {
  int64_t rows = 0;
  for (int i = 0; i < width; ++i) y[i] = 0;
  for (int64_t row = 0; row < count; ++row)
    if (token[row] >= begin && token[row] < end) {
      for (int i = 0; i < width; ++i) y[i] = rows ? y[i] + x[row * width + i] : x[row * width + i];
      ++rows;
    }
  for (int i = 0; rows && i < width; ++i) y[i] /= (float)rows;
}

// Checks that a whole encoder has the bits of its ops one after another, on any number of threads and of some rows, and
// that its vectors of texts are those rows' means.
void test_encoder(const Tested& tested, Random& random) {
  const int heads = 1 + random.below(3), width = heads * (1 + random.below(20)), middle = random.size(), words = 9;
  const int texts = random.below(4);
  const bool selects = random.below(2);
  Block<int64_t> lengths(texts);
  int64_t rows = 0;
  for (int i = 0; i < texts; ++i) rows += lengths.data[i] = random.below(random.below(3) ? 20 : 150);
  Block<int64_t> ids(rows), some(rows);
  for (int64_t i = 0; i < rows; ++i) ids.data[i] = random.below(words);
  Block<int8_t> word((size_t)words * width);
  Block<float> scale(words), gamma(width), beta(width);
  word.fill(random, 127), scale.fill(random), gamma.fill(random), beta.fill(random);
  if (random.below(4) == 0) scale.data[random.below(words)] = NAN;
  const Norm norm = {gamma.data, beta.data, 1e-2f};
  const Norm *before = random.below(2) ? &norm : nullptr, *after = random.below(2) ? &norm : nullptr;
  const LayerMaps lower(random, width, middle, 3), upper(random, width, middle, selects ? 2 : 3);
  const EncoderLayer layers[] = {lower.steps(before, after), upper.steps(before, after)};
  const AttentionShape shape = {heads, width / heads, 1, nullptr, 0, static_cast<Mask>(random.below(kMasks))};
  const EncoderSteps steps = {{word.data, scale.data, nullptr, words, 0, 0, width, &norm, nullptr, 0}, layers, 2, shape};
  const Tokens tokens = {ids.data, nullptr, rows, {lengths.data, texts}};
  int64_t queries = 0;
  for (int64_t i = 0; i < rows; ++i)
    if (!selects || random.below(2)) some.data[queries++] = i;

  const size_t stride = 3 * width;
  Block<float> state(rows * width), joined(rows * stride), query(rows * width), context(rows * width);
  Block<float> attended(rows * width), expected(rows * width), y(queries * width);
  constexpr int kThreads[] = {1, 2, 3, 8};
  for (const Kernels* kernels : tested) {
    embedding(*kernels, tokens, steps.tables, state.data);
    for (const EncoderLayer& layer : layers) {
      const bool is_of_some = selects && &layer == layers + 1;
      const size_t of = is_of_some ? 2 * width : stride;
      linear(*kernels, threads(1), state.data, rows, layer.joined, joined.data);
      const Rows<const float> key = {joined.data + of - 2 * width, of}, value = {key.data + width, of};
      if (is_of_some) linear(*kernels, threads(1), state.data, rows, layer.query, query.data);
      const Rows<const float> queried = {is_of_some ? query.data : joined.data, is_of_some ? (size_t)width : of};
      attention(*kernels, threads(1), {queried, key, value, nullptr, rows}, rows, tokens.lengths, shape, context.data);
      LinearStep output = layer.output;
      output.residual = state.data;
      linear(*kernels, threads(1), context.data, rows, output, attended.data);
      feed_forward(*kernels, threads(1), attended.data, rows, layer.first, layer.second, expected.data);
      memcpy(state.data, expected.data, expected.size * sizeof(float));
    }
    for (int count : kThreads) {
      y.spoil();
      const Error e = encoder(*kernels, threads(count), tokens, steps, selects ? some.data : nullptr, queries, nullptr,
                              y.data);
      check(!e, kernels->name, "encoder", "%s", e.text);
      for (int64_t i = 0; i < queries; ++i)
        check(same_bits(y.data + i * width, expected.data + some.data[i] * width, width), kernels->name,
              "bits of the encoder", "row %d of %d, width %d, threads %d", (int)some.data[i], (int)rows, width, count);
    }
    Block<PooledText> pooled(texts);
    Block<float> vectors(texts * width), mean(width);
    for (int text = 0; text < texts; ++text) {
      const int length = (int)lengths.data[text], begin = random.below(length + 2);
      pooled.data[text] = {begin, begin + random.below(length + 2), random.below(2)};
    }
    for (int count : kThreads) {
      vectors.spoil();
      const Error e = encoder(*kernels, threads(count), tokens, steps, selects ? some.data : nullptr, queries,
                              pooled.data, vectors.data);
      check(!e, kernels->name, "encoder", "%s", e.text);
      int64_t start = 0;
      for (int text = 0; text < texts; start += lengths.data[text++]) {
        const auto& [begin, end, normalizes] = pooled.data[text];
        const float* found = vectors.data + text * width;
        const int64_t last = start + (end < lengths.data[text] ? end : lengths.data[text]);
        mean_of(y.data, some.data, queries, start + begin, last, width, mean.data);
        double squares = 0;
        for (int i = 0; i < width; ++i) squares += (double)mean.data[i] * mean.data[i];
        const double norm = normalizes && squares != 0 ? std::sqrt(squares) : 1;
        for (int i = 0; i < width; ++i) {
          const float expected = (float)(mean.data[i] / norm);
          check(same_bits(found + i, &expected, 1) || std::fabs(found[i] - expected) <= 1e-6 * normalizes, kernels->name,
                "vectors of texts", "text %d, width %d, threads %d", text, width, count);
        }
      }
    }
  }
}

}  // namespace

int main(int count, char** arguments) {
  const int cases = count > 1 ? atoi(arguments[1]) : 300;
  for (int i = 2; i < count; ++i) check(usable(arguments[i]), arguments[i], "must be usable", "only %s are", usable_names());
  const Tested tested;
  Random random = {20240607};
  test_groups(tested, random);
  test_extremes(tested, random);
  test_hidden_groups(tested, random);
  for (int i = 0; i < cases; ++i) {
    test_linear(tested, random);
    test_feed_forward(tested, random);
    test_attention(tested, random);
    test_embedding(tested, random);
    test_encoder(tested, random);
  }
  printf("%s: %d cases each, %d failures\n", usable_names(), cases, failures);
  return failures != 0;
}
