// How the threads that compute one graph node work together: they are llama.cpp's own, as many as the model was given.
#pragma once

#include <atomic>
#include <cstddef>
#include <thread>

namespace scorehead::accel {

// Hands out the numbers below a limit, each once.
class Counter {
 public:
  // The next number of `step` taken together.
  size_t take(size_t step = 1) { return next_.fetch_add(step, std::memory_order_relaxed); }
  void reset() { next_.store(0, std::memory_order_relaxed); }

 private:
  std::atomic<size_t> next_{0};
};

// Holds each thread back until all have come. May be used once a node.
class Barrier {
 public:
  void wait(int threads) {
    arrived_.fetch_add(1, std::memory_order_acq_rel);
    // The others are computing and will not be long; a machine with fewer cores than threads must not wait for a time slice.
    for (int spins = 0; arrived_.load(std::memory_order_acquire) < threads; spins++)
      if (spins > kSpins) std::this_thread::yield();
  }
  void reset() { arrived_.store(0, std::memory_order_relaxed); }

 private:
  static constexpr int kSpins = 2000;
  std::atomic<int> arrived_{0};
};

}  // namespace scorehead::accel
