// Which kernels run: one table of instruction sets, and the choice that is made once, when the library is loaded.
#pragma once
#include "kernels.h"

namespace cpu2vec {

extern const Kernels kScalar;

const Kernels& chosen();                    // the first row of the table that is usable here
const Kernels* usable(const char* name);    // null for a name that is unknown or not usable here
const char* usable_names();                 // separated by commas, the best first

}  // namespace cpu2vec
