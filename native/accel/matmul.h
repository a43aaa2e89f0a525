// A weight matrix times the activations of a micro-batch.
#pragma once

#include <cstdint>

#include "kernels.h"
#include "task.h"
#include "team.h"

namespace scorehead::accel {

// Activation rows in the form that a kernel reads, shared by the products that read the same tensor.
struct Activations {
  const float* rows;
  size_t inputs;
  size_t count;
  uint8_t* prepared;  // null: the rows are read as they are
};

class MatMul : public Task {
 public:
  // The most activation rows that are multiplied without panels.
  static constexpr size_t kDirectRows = 4;

  // `prepares`: whether this product is the first to read the activations, and has to prepare them.
  MatMul(const Kernel& kernel, const Rows& weights, const Activations& activations, bool prepares, float* out)
      : kernel_(kernel), weights_(weights), activations_(activations), prepares_(prepares), out_(out) {}

  size_t scratch_bytes() const override;

 private:
  void compute(int threads, uint8_t* scratch) override;
  void prepare();
  // An activation row in the form that the kernel reads, and its size.
  const uint8_t* row(size_t index) const;
  size_t row_bytes() const;
  void multiply_directly(int threads, uint8_t* scratch);
  void multiply(size_t first_panel, size_t panels, size_t first_row, size_t rows, uint8_t* scratch) const;

  const Kernel& kernel_;
  const Rows weights_;
  const Activations activations_;
  const bool prepares_;
  float* const out_;
  Counter next_prepared_, next_item_;
  Barrier prepared_;
};

}  // namespace scorehead::accel
