// The accelerator: scorehead's own kernels as a backend of llama.cpp's, in a library of their own (native/accel).
#pragma once

#include <string>

#include "../accel/host.h"

namespace scorehead {

// Loads the accelerator by absolute path, once for the process; before the first model, since llama.cpp's list of backends
// may not change while a context is made. Returns the name of the kernels that fit this processor; empty, with the reason in
// `reason`, where there are none.
std::string load_accelerator(const std::string& path, std::string& reason);

// While it lives, contexts that this thread makes are accelerated.
class AcceleratedContexts {
 public:
  explicit AcceleratedContexts(bool on);
  ~AcceleratedContexts();
  AcceleratedContexts(const AcceleratedContexts&) = delete;
  AcceleratedContexts& operator=(const AcceleratedContexts&) = delete;
};

// What the accelerator has computed for this thread so far.
accel::Work accelerator_work();

}  // namespace scorehead
