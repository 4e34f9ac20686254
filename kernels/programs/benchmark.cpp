// Times every kernel of every instruction set that this machine has, on one core. Products are also reported as a share
// of the peak, which a loop on registers alone reaches. Shapes are those of all-MiniLM-L6-v2.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "../src/dispatch.h"

using namespace cpu2vec;

namespace {

constexpr int kHidden = 384, kMiddle = 1536, kHeads = 12;

double now() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

template <class F>
double seconds(F body) {
  const double start = now();
  body();
  return now() - start;
}

// Returns the median time of runs that take about 50 ms in total.
template <class F>
double microseconds(F body) {
  static double times[2000];
  body();
  const double wanted = 0.05 / (seconds(body) + 1e-9);
  const int runs = wanted < 5 ? 5 : wanted > 2000 ? 2000 : (int)wanted;
  for (int i = 0; i < runs; ++i) times[i] = seconds(body) * 1e6;
  qsort(times, runs, sizeof *times, [](const void* a, const void* b) {
    const double d = *static_cast<const double*>(a) - *static_cast<const double*>(b);
    return d < 0 ? -1 : d > 0;
  });
  return times[runs / 2];
}

template <class T>
T* aligned(size_t count) {
  return static_cast<T*>(aligned_alloc(4096, (count * sizeof(T) + 4095) / 4096 * 4096));
}

float noise() { return (float)rand() / (float)RAND_MAX * 4 - 2; }

struct Data {
  float *x = aligned<float>(512 * kMiddle), *y = aligned<float>(512 * kMiddle);
  int8_t* packed = aligned<int8_t>(kHidden * kMiddle);
  float* ones = aligned<float>(groups(kMiddle) * kMiddle);
  int32_t* sums = aligned<int32_t>(groups(kMiddle) * kMiddle);
  uint8_t* q = aligned<uint8_t>(512 * kMiddle * kMostActivationBytes);
  float* scales = aligned<float>(2 * 512 * groups(kMiddle));
  int32_t* missing = aligned<int32_t>(512 * groups(kMiddle));
  void* scratch = aligned<char>(16 << 20);
  QuantizedRows quantized(const Kernels& kernels, const Weight& w) const {
    return {q, (size_t)(w.k * kernels.activation_bytes), scales, scales + 512 * groups(w.k), missing};
  }
  Data() {
    for (int i = 0; i < 512 * kMiddle; ++i) x[i] = noise();
    for (int i = 0; i < kHidden * kMiddle; ++i) packed[i] = (int8_t)(rand() % 255 - 127);
    for (int i = 0; i < groups(kMiddle) * kMiddle; ++i) ones[i] = 1, sums[i] = 1;
  }
};

void quantize_all(const Kernels& kernels, const float* x, int rows, const Weight& w, const QuantizedRows& to) {
  for (int g = 0; g < groups(w.k); ++g)
    kernels.quantize({x + g * group_width(w.k), (size_t)w.k}, rows, w, g, to);
}

// Returns multiplications and additions per second, in units of 1e9.
double peak(const Kernels& kernels) {
  double best = 0;
  for (int i = 0; i < 5; ++i) {
    const long rounds = 200000;
    double count = 0;
    const double time = seconds([&] { count = kernels.spin(rounds); });
    if (count / time / 1e9 > best) best = count / time / 1e9;
  }
  return best;
}

void report(const Kernels& kernels, Data& data) {
  const double top = peak(kernels);
  printf("%s: %.0f GOPS on registers alone\n", kernels.name, top);
  const struct {
    const char* name;
    int k, n;
    Activation activation;
  } products[] = {{"query, key, value", kHidden, 3 * kHidden, Activation::kNone},
                  {"attention output", kHidden, kHidden, Activation::kNone},
                  {"first, without GELU", kHidden, kMiddle, Activation::kNone},
                  {"first, with GELU", kHidden, kMiddle, Activation::kGelu},
                  {"second", kMiddle, kHidden, Activation::kNone}};
  const int row_counts[] = {1, 8, 16, 128}, text_lengths[] = {16, 128, 512};
  for (int rows : row_counts) {
    for (const auto& p : products) {
      const Weight w = {data.packed, data.ones, data.sums, data.ones, nullptr, nullptr, p.k, p.n};
      const QuantizedRows q = data.quantized(kernels, w);
      quantize_all(kernels, data.x, rows, w, q);
      const Rows<float> y = {data.y, (size_t)p.n};
      const double us = microseconds([&] { kernels.matmul(q, rows, w, 0, panels(p.n), p.activation, y); });
      const double gops = 2.0 * rows * p.k * p.n / us / 1e3;
      printf("  %4d rows, %-20s %8.1f us %6.0f GOPS, %3.0f %% of peak\n", rows, p.name, us, gops, 100 * gops / top);
    }
  }
  const Norm norm = {data.ones, data.ones, 1e-12f};
  for (int rows : text_lengths) {
    const Weight narrow = {data.packed, data.ones, data.sums, data.ones, nullptr, nullptr, kHidden, kHidden};
    const Weight wide = {data.packed, data.ones, data.sums, data.ones, nullptr, nullptr, kMiddle, kHidden};
    const size_t width = kHidden / kHeads;
    const double attention = microseconds([&] {
      for (int h = 0; h < kHeads; ++h) {
        const float* query = data.x + h * width;
        kernels.attention({query, query + kHidden, query + 2 * kHidden, 3 * kHidden, 3 * kHidden, rows, rows, (int)width,
                           nullptr, 0, 0.2f, nullptr, 0, Mask::kNone, data.y + h * width, kHidden},
                          data.scratch);
      }
    });
    const double quantize = microseconds([&] { quantize_all(kernels, data.x, rows, narrow, data.quantized(kernels, narrow)); });
    const double quantize4 = microseconds([&] { quantize_all(kernels, data.x, rows, wide, data.quantized(kernels, wide)); });
    memset(data.y, 0, sizeof(float) * 512 * kMiddle);
    const double add_norm = microseconds([&] { kernels.add_norm(data.y, data.x, rows, kHidden, &norm, data.y); });
    printf("  %4d rows, attention %.1f us, quantize %d channels %.1f us, %d channels %.1f us, add and normalize %.1f us\n",
           rows, attention, kHidden, quantize, kMiddle, quantize4, add_norm);
  }
}

}  // namespace

int main(int count, char** names) {
  Data data;
  char all[128];
  snprintf(all, sizeof all, "%s", count > 1 ? names[1] : usable_names());
  for (char* name = strtok(all, ","); name; name = strtok(nullptr, ",")) {
    const Kernels* kernels = usable(name);
    if (!kernels) {
      fprintf(stderr, "the instruction set must be one of %s on this machine, not \"%s\"\n", usable_names(), name);
      return 1;
    }
    report(*kernels, data);
  }
}
