// The result of an op: empty, or one sentence that says what is wrong.
#pragma once

namespace cpu2vec {

struct Error {
  char text[256] = {};
  explicit operator bool() const { return text[0]; }
};

Error error(const char* format, ...) __attribute__((format(printf, 1, 2)));

}  // namespace cpu2vec
