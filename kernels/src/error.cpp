#include "error.h"

#include <cstdarg>
#include <cstdio>

namespace cpu2vec {

Error error(const char* format, ...) {
  Error e;
  va_list values;
  va_start(values, format);
  vsnprintf(e.text, sizeof e.text, format, values);
  va_end(values);
  return e;
}

}  // namespace cpu2vec
