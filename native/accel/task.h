// A graph node that the accelerator computes in llama.cpp's place.
#pragma once

#include <cstddef>
#include <cstdint>

namespace scorehead::accel {

class Task {
 public:
  virtual ~Task() = default;

  // The bytes that each thread needs beside.
  virtual size_t scratch_bytes() const = 0;

  // The memory for them: `stride` bytes a thread, aligned to cache lines. Tasks run one after the other and share it.
  void use_scratch(uint8_t* memory, size_t stride) {
    scratch_ = memory;
    stride_ = stride;
  }

  // Called once by each of the `threads`, at the same time.
  void run(int thread, int threads) { compute(threads, scratch_ + thread * stride_); }

 private:
  // One thread's part; its memory is its own.
  virtual void compute(int threads, uint8_t* scratch) = 0;

  uint8_t* scratch_ = nullptr;
  size_t stride_ = 0;
};

}  // namespace scorehead::accel
