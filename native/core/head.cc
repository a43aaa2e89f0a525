#include "head.h"

#include <algorithm>
#include <cmath>
#include <system_error>
#include <thread>

namespace scorehead {
namespace {

// Sixteen partial sums: the compiler keeps them in vector registers without being allowed to reorder additions, the
// result is the same on every machine, and the rounding error grows with n/16 instead of n.
float dot(const float* a, const float* b, size_t n) {
  constexpr size_t kLanes = 16;
  float sums[kLanes] = {0};
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (size_t lane = 0; lane < kLanes; lane++) sums[lane] += a[i + lane] * b[i + lane];
  float total = 0;
  for (; i < n; i++) total += a[i] * b[i];
  for (float sum : sums) total += sum;
  return total;
}

// Rows that are multiplied with a row of the weight while it is in the fastest cache: their own numbers fit the next one.
constexpr size_t kRowBlock = 16;
// Multiplications that are worth a thread of their own: about a millisecond, where starting one takes some 20 us.
constexpr size_t kWorkPerThread = size_t(1) << 22;

// Runs work(begin, end) over [0, count) in up to `threads` parts at once; where no thread is to be had, on this one.
template <typename Work>
void in_parts(size_t count, size_t threads, const Work& work) {
  const size_t part = (count + threads - 1) / threads;
  std::vector<std::thread> others;
  others.reserve(threads);
  size_t begin = 0;
  try {
    for (; begin + part < count; begin += part) others.emplace_back(work, begin, begin + part);
  } catch (const std::system_error&) {
  }
  work(begin, count);
  for (std::thread& other : others) other.join();
}

// out[row][output] = weight · in[row] + bias, for the outputs [begin, end).
void apply_outputs(const Layer& layer, const float* in, size_t rows, float* out, size_t begin, size_t end) {
  for (size_t block = 0; block < rows; block += kRowBlock)
    for (size_t output = begin; output < end; output++) {
      const float* weight = layer.weight.data() + output * layer.inputs;
      const float bias = layer.bias.empty() ? 0.0f : layer.bias[output];
      for (size_t row = block; row < std::min(rows, block + kRowBlock); row++)
        out[row * layer.outputs + output] = dot(in + row * layer.inputs, weight, layer.inputs) + bias;
    }
}

void activate(Activation activation, std::vector<float>& values) {
  for (float& value : values) value = activation == Activation::relu ? std::max(value, 0.0f) : std::tanh(value);
}

}  // namespace

std::vector<float> Network::apply(const float* hidden, size_t rows, size_t threads) const {
  std::vector<float> in, out;
  for (const Layer& layer : layers) {
    const float* from = &layer == &layers.front() ? hidden : in.data();
    out.resize(rows * layer.outputs);
    const size_t worth = 1 + rows * layer.outputs * layer.inputs / kWorkPerThread;
    in_parts(layer.outputs, std::min({threads, worth, layer.outputs}), [&](size_t begin, size_t end) {
      apply_outputs(layer, from, rows, out.data(), begin, end);
    });
    if (&layer != &layers.back()) activate(activation, out);
    in.swap(out);
  }
  return in;
}

}  // namespace scorehead
