// Chooses the kernels to run from a table of instruction sets, once, when the library is loaded.
#pragma once
#include "kernels.h"

namespace cpu2vec {

extern const Kernels kScalar;

const Kernels& chosen();                    // the first usable row of the table
const Kernels* usable(const char* name);    // null if the name is unknown or not usable on this machine
const char* usable_names();                 // separated by commas, best first

}  // namespace cpu2vec
