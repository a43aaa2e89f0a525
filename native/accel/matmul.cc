#include "matmul.h"

#include <algorithm>

namespace scorehead::accel {
namespace {

// Panels that are packed together, so that activation rows, once in the L1 cache, are used for all of them.
constexpr size_t kPanels = 4;
// Activation rows that go through these panels in turn; a multiple of every kernel's register tile.
constexpr size_t kRows = 24;
// Items of work a thread, so that a thread that is held up does not hold up the others for long.
constexpr size_t kItems = 8;
constexpr size_t kPrepareRows = 4;

size_t divide_up(size_t a, size_t b) { return (a + b - 1) / b; }

}  // namespace

size_t MatMul::scratch_bytes() const {
  if (activations_.count > kDirectRows) return kPanels * kernel_.chunk_bytes;
  return activations_.count * kernel_.direct.arranged_bytes(activations_.inputs);
}

void MatMul::prepare() {
  const size_t bytes = kernel_.prepared_bytes(activations_.inputs);
  for (size_t begin; (begin = next_prepared_.take(kPrepareRows)) < activations_.count;)
    for (size_t row = begin; row < std::min(begin + kPrepareRows, activations_.count); row++)
      kernel_.prepare(activations_.rows + row * activations_.inputs, activations_.inputs, activations_.prepared + row * bytes);
}

void MatMul::compute(int threads, uint8_t* scratch) {
  if (prepares_) {
    prepare();
    prepared_.wait(threads);
  }
  if (activations_.count <= kDirectRows) return multiply_directly(threads, scratch);
  const size_t panels = divide_up(weights_.count, kernel_.columns), wanted = kItems * threads;
  const size_t group = std::clamp<size_t>(panels / wanted, 1, kPanels);
  const size_t groups = divide_up(panels, group);
  // A narrow matrix has fewer panels than threads want: then each is packed for a part of the rows at a time.
  const size_t splits = std::clamp<size_t>(wanted / groups, 1, divide_up(activations_.count, 2 * kRows));
  const size_t rows = divide_up(divide_up(activations_.count, splits), kRows) * kRows;
  for (size_t item; (item = next_item_.take()) < groups * splits;) {
    const size_t first_panel = item / splits * group, first_row = item % splits * rows;
    if (first_row >= activations_.count) continue;
    multiply(first_panel, std::min(group, panels - first_panel), first_row, std::min(rows, activations_.count - first_row),
             scratch);
  }
}

const uint8_t* MatMul::row(size_t index) const {
  if (activations_.prepared) return activations_.prepared + index * row_bytes();
  return reinterpret_cast<const uint8_t*>(activations_.rows) + index * row_bytes();
}

size_t MatMul::row_bytes() const {
  return activations_.prepared ? kernel_.prepared_bytes(activations_.inputs) : activations_.inputs * sizeof(float);
}

// Every thread arranges all of the few rows for itself, which is less than waiting for the others.
void MatMul::multiply_directly(int threads, uint8_t* scratch) {
  const size_t inputs = activations_.inputs, outputs = weights_.count, bytes = kernel_.direct.arranged_bytes(inputs);
  for (size_t i = 0; i < activations_.count; i++) kernel_.direct.arrange(row(i), inputs, scratch + i * bytes);
  const size_t share = divide_up(outputs, kItems * threads);
  for (size_t first; (first = next_item_.take(share)) < outputs;)
    kernel_.direct.multiply({{weights_.data + first * weights_.stride, weights_.stride, std::min(share, outputs - first)},
                             scratch, bytes, inputs, activations_.count, out_ + first, outputs});
}

void MatMul::multiply(size_t first_panel, size_t panels, size_t first_row, size_t rows, uint8_t* scratch) const {
  const size_t inputs = activations_.inputs, outputs = weights_.count;
  Product product = {};
  product.activation_stride = row_bytes();
  product.inputs = inputs;
  product.out_stride = outputs;
  for (size_t first = 0; first < inputs; first += kernel_.chunk_inputs) {
    product.first = first;
    product.count = std::min(kernel_.chunk_inputs, inputs - first);
    product.accumulate = first > 0;
    for (size_t p = 0; p < panels; p++) {
      const size_t column = (first_panel + p) * kernel_.columns;
      kernel_.pack({weights_.data + column * weights_.stride, weights_.stride, std::min(kernel_.columns, outputs - column)},
                   first, product.count, scratch + p * kernel_.chunk_bytes);
    }
    for (size_t r = first_row; r < first_row + rows; r += kRows) {
      product.rows = std::min(kRows, first_row + rows - r);
      product.activations = row(r);
      for (size_t p = 0; p < panels; p++) {
        const size_t column = (first_panel + p) * kernel_.columns;
        product.columns = std::min(kernel_.columns, outputs - column);
        product.panel = scratch + p * kernel_.chunk_bytes;
        product.out = out_ + r * outputs + column;
        kernel_.multiply(product);
      }
    }
  }
}

}  // namespace scorehead::accel
