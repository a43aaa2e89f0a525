#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <thread>

#include "check.h"
#include "matmul.h"
#include "reference.h"
#include "stock.h"

namespace check {
namespace {

using namespace scorehead::accel;

constexpr size_t kBlock = 32;  // activations that share a scale

// A product as the accelerator computes it.
std::vector<float> accelerated(const Kernel& kernel, ggml_type type, const std::vector<uint8_t>& weights,
                               const std::vector<float>& activations, size_t inputs, int threads = 1) {
  const size_t stride = row_bytes(type, inputs), outputs = weights.size() / stride, rows = activations.size() / inputs;
  std::vector<uint8_t> prepared(kernel.prepare ? rows * kernel.prepared_bytes(inputs) : 0);
  // Not zeros, so that a result that is not written is found; and no room beyond the last, so that a sanitizer finds more.
  std::vector<float> out(rows * outputs, 12345.0f);
  MatMul product(kernel, {weights.data(), stride, outputs}, {activations.data(), inputs, rows, kernel.prepare ? prepared.data() : nullptr},
                 kernel.prepare != nullptr, out.data());
  constexpr size_t kCacheLine = 64;
  const size_t scratch = (product.scratch_bytes() + kCacheLine - 1) / kCacheLine * kCacheLine;
  std::unique_ptr<uint8_t[], decltype(&std::free)> memory(
      static_cast<uint8_t*>(std::aligned_alloc(kCacheLine, scratch * threads)), &std::free);
  product.use_scratch(memory.get(), scratch);
  std::vector<std::thread> others;
  for (int t = 1; t < threads; t++) others.emplace_back([&, t] { product.run(t, threads); });
  product.run(0, threads);
  for (std::thread& other : others) other.join();
  return out;
}

// Half-precision numbers that a type begins with, or has elsewhere.
std::vector<size_t> half_offsets(ggml_type type) {
  if (type == GGML_TYPE_Q4_K || type == GGML_TYPE_Q5_K) return {0, 2};
  return {type == GGML_TYPE_Q6_K ? size_t{208} : size_t{0}};
}

struct Block {
  size_t inputs, bytes;
};
Block block_of(ggml_type type) {
  switch (type) {
    case GGML_TYPE_Q8_0: return {32, 34};
    case GGML_TYPE_Q4_0: return {32, 18};
    case GGML_TYPE_Q4_K: return {256, 144};
    case GGML_TYPE_Q5_K: return {256, 176};
    case GGML_TYPE_Q6_K: return {256, 210};
    case GGML_TYPE_F32: return {4, 16};
    default: return {8, 16};
  }
}

// Where a type has scales of a byte or less.
struct Bytes {
  size_t first, end;
};
Bytes scales_of(ggml_type type) {
  if (type == GGML_TYPE_Q4_K || type == GGML_TYPE_Q5_K) return {4, 16};
  return type == GGML_TYPE_Q6_K ? Bytes{192, 208} : Bytes{0, 0};
}

// aligned: all of a block at the same end of the codes' range, so that sums are as large as they can be.
enum class Content { random, extreme, aligned, zero, denormal };
constexpr Content kContents[] = {Content::random, Content::extreme, Content::aligned, Content::zero, Content::denormal};

std::vector<uint8_t> make_weights(ggml_type type, size_t outputs, size_t inputs, Content content, Random& random) {
  const Block block = block_of(type);
  const size_t blocks = outputs * inputs / block.inputs;
  std::vector<uint8_t> out(blocks * block.bytes);
  if (!is_quantised(type)) {
    for (size_t i = 0; i < outputs * inputs; i++) {
      const float x = content == Content::zero ? 0 : random.between(-1, 1);
      uint32_t bits;
      std::memcpy(&bits, &x, 4);
      const uint16_t half = content == Content::denormal ? random.bits() % 1024 : 0x2C00 | (random.bits() & 0x87FF);
      const auto brain = static_cast<uint16_t>(bits >> 16);
      if (type == GGML_TYPE_F32) std::memcpy(&out[4 * i], &bits, 4);
      if (type == GGML_TYPE_F16) std::memcpy(&out[2 * i], &half, 2);
      if (type == GGML_TYPE_BF16) std::memcpy(&out[2 * i], &brain, 2);
    }
    return out;
  }
  for (uint8_t& byte : out) byte = content == Content::zero ? 0 : content == Content::extreme ? (random.bits() & 1 ? 0x80 : 0xFF) : random.bits();
  for (size_t b = 0; b < blocks && content == Content::aligned; b++) {
    uint8_t* bytes = &out[b * block.bytes];
    std::fill(bytes, bytes + block.bytes, random.bits() & 1 ? 0 : 0xFF);
    for (size_t i = scales_of(type).first; i < scales_of(type).end; i++) bytes[i] = random.bits();
  }
  for (size_t b = 0; b < blocks; b++)
    for (const size_t at : half_offsets(type)) {
      // Finite: near 1, the largest, 0, or a denormal; with either sign.
      const uint16_t magnitude = content == Content::random || content == Content::aligned ? 0x2C00 | (random.bits() & 0x7FF)
                                 : content == Content::extreme  ? 0x7BFF
                                 : content == Content::denormal ? random.bits() % 1024
                                                                : 0;
      const uint16_t half = magnitude | (random.bits() & 0x8000);
      std::memcpy(&out[b * block.bytes + at], &half, 2);
    }
  return out;
}

std::vector<float> make_activations(size_t count, Content content, Random& random) {
  std::vector<float> out(count);
  float end = 0;
  for (size_t i = 0; i < count; i++) {
    float& x = out[i];
    x = random.activation();
    if (i % kBlock == 0) end = random.bits() & 1 ? 8.0f : -8.0f;
    if (content == Content::aligned) x = end;
    if (content == Content::extreme) x = random.bits() & 1 ? 8.0f : -8.0f;
    if (content == Content::zero) x = 0;
    if (content == Content::denormal) x *= random.bits() & 1 ? 1e-38f : 1e-43f;
  }
  return out;
}

std::string where(const char* what, ggml_type type, size_t outputs, size_t inputs, size_t rows) {
  return std::string(what) + " for " + type_name(type) + ", " + std::to_string(outputs) + " outputs of " + std::to_string(inputs) +
         " inputs, " + std::to_string(rows) + " rows";
}

const Kernel& kernel_for(const Kernels& kernels, ggml_type type) {
  const Kernel* kernel = kernels.kernel(type);
  if (!kernel) throw std::runtime_error(std::string("there is no kernel for ") + type_name(type));
  return *kernel;
}

size_t compare_bits(const Kernel& kernel, ggml_type type, size_t outputs, size_t inputs, size_t rows, Content weights_are,
                    Content activations_are, Random& random) {
  const std::vector<uint8_t> weights = make_weights(type, outputs, inputs, weights_are, random);
  const std::vector<float> activations = make_activations(rows * inputs, activations_are, random);
  const std::vector<float> found = accelerated(kernel, type, weights, activations, inputs);
  for (size_t o = 0; o < outputs; o++) {
    const std::vector<Weight> row = decode(type, weights.data() + o * row_bytes(type, inputs), inputs);
    for (size_t r = 0; r < rows; r++) {
      const auto reference = rows <= MatMul::kDirectRows ? direct_product : product;
      const float expected = reference(kernel, type, row, activations.data() + r * inputs), is = found[r * outputs + o];
      // Two NaNs are equal, whatever their bits (the extreme scales overflow).
      if (std::memcmp(&expected, &is, 4) != 0 && !(std::isnan(expected) && std::isnan(is)) && expected != is)
        throw std::runtime_error(where("a result differs", type, outputs, inputs, rows) + ": " + std::to_string(is) + " instead of " +
                                 std::to_string(expected) + " in row " + std::to_string(r) + ", column " + std::to_string(o));
    }
  }
  return rows * outputs;
}

// float64 of what the weights stand for.
std::vector<double> exact(const std::vector<float>& weights, const std::vector<float>& activations, size_t inputs) {
  const size_t outputs = weights.size() / inputs, rows = activations.size() / inputs;
  std::vector<double> out(rows * outputs);
  for (size_t r = 0; r < rows; r++)
    for (size_t o = 0; o < outputs; o++)
      for (size_t i = 0; i < inputs; i++)
        out[r * outputs + o] += static_cast<double>(activations[r * inputs + i]) * weights[o * inputs + i];
  return out;
}

double error(const std::vector<float>& found, const std::vector<double>& exact) {
  double sum = 0;
  for (size_t i = 0; i < found.size(); i++) sum += (found[i] - exact[i]) * (found[i] - exact[i]);
  return std::sqrt(sum / static_cast<double>(found.size()));
}

}  // namespace

size_t check_bits(const Kernels& kernels, ggml_type type) {
  const Kernel& kernel = kernel_for(kernels, type);
  if (type == GGML_TYPE_BF16 && kernel.prepare) return 0;
  Random random(static_cast<uint32_t>(type) + 1);
  const size_t step = block_of(type).inputs;
  size_t compared = 0;
  // One output, a panel, more and less than panels; one input block, more than a chunk; one row, tiles and their rests.
  for (const size_t outputs : {1, 2, 15, 16, 17, 31, 32, 33, 70})
    for (const size_t rows : {1, 2, 3, 4, 5, 6, 7, 12, 13, 25})
      compared += compare_bits(kernel, type, outputs, step * (1 + outputs % 3), rows, Content::random, Content::random, random);
  for (const size_t inputs : {kernel.chunk_inputs, kernel.chunk_inputs + step, 2 * kernel.chunk_inputs + 3 * step})
    for (const size_t rows : {3, 7})
      compared += compare_bits(kernel, type, 33, inputs, rows, Content::random, Content::random, random);
  // Rows that fill vectors, alone or together, and rows that do not.
  for (const size_t blocks : {5, 8, 16, 17, 22, 43})
    compared += compare_bits(kernel, type, 37, blocks * step, 2, Content::random, Content::random, random);
  for (const Content weights : kContents)
    for (const Content activations : kContents)
      for (const size_t rows : {1, 8})
        compared += compare_bits(kernel, type, 35, 4 * step, rows, weights, activations, random);
  return compared;
}

void check_spoiled(const Kernels& kernels, ggml_type type) {
  const Kernel& kernel = kernel_for(kernels, type);
  constexpr size_t kInputs = 512, kOutputs = 40;
  Random random(7);
  const std::vector<uint8_t> weights = make_weights(type, kOutputs, kInputs, Content::random, random);
  for (const size_t rows : {3, 9})
    for (const float poison : {NAN, -NAN, INFINITY, -INFINITY}) {
      const size_t spoiled = rows / 2;
      std::vector<float> activations = make_activations(rows * kInputs, Content::random, random);
      activations[spoiled * kInputs + 300] = poison;
      const std::vector<float> found = accelerated(kernel, type, weights, activations, kInputs);
      for (size_t i = 0; i < found.size(); i++)
        if (std::isfinite(found[i]) == (i / kOutputs == spoiled))
          throw std::runtime_error(where("a number that is not finite is lost, or spreads", type, kOutputs, kInputs, rows));
    }
}

void check_threads(const Kernels& kernels, ggml_type type) {
  const Kernel& kernel = kernel_for(kernels, type);
  constexpr size_t kInputs = 512;
  Random random(11);
  for (const size_t outputs : {33, 600})
    for (const size_t rows : {2, 130}) {
      const std::vector<uint8_t> weights = make_weights(type, outputs, kInputs, Content::random, random);
      const std::vector<float> activations = make_activations(rows * kInputs, Content::random, random);
      const std::vector<float> alone = accelerated(kernel, type, weights, activations, kInputs);
      for (const int threads : {2, 3, 7})
        if (accelerated(kernel, type, weights, activations, kInputs, threads) != alone)
          throw std::runtime_error(where("threads change the result", type, outputs, kInputs, rows));
    }
}

double relative_error(const Kernels& kernels, ggml_type type) {
  const Kernel& kernel = kernel_for(kernels, type);
  constexpr size_t kInputs = 2048, kOutputs = 96;
  Random random(13);
  std::vector<float> plain(kOutputs * kInputs);
  for (float& weight : plain) weight = random.activation() / 50;
  const std::vector<uint8_t> weights = quantise(type, plain, kInputs);
  double largest = 0;
  for (const size_t rows : {4, 48}) {  // without panels and with them
    const std::vector<float> activations = make_activations(rows * kInputs, Content::random, random);
    const std::vector<double> expected = exact(dequantise(type, weights, kInputs), activations, kInputs);
    largest = std::max(largest, error(accelerated(kernel, type, weights, activations, kInputs), expected) /
                                    error(stock_product(type, weights, activations, kInputs), expected));
  }
  return largest;
}

}  // namespace check
