// The arithmetic of the accelerator as tables of functions, one table an instruction set. Everything above this header
// is plain C++; everything below it is compiled for one instruction set and called only where the processor has it.
#pragma once

#include <cstddef>
#include <cstdint>

#include <ggml.h>

namespace scorehead::accel {

// Rows of a weight matrix, of a K cache or of a transposed V cache, in ggml's layout of their type.
struct Rows {
  const uint8_t* data;
  size_t stride;  // bytes from one row to the next
  size_t count;   // at least 1
};

// A part of a product: prepared activation rows times one packed panel, which holds `count` of the inputs.
struct Product {
  const uint8_t* activations;
  size_t activation_stride;  // bytes from one prepared row to the next
  size_t inputs;             // of a whole row; the layout of a prepared row depends on it
  size_t rows;
  const uint8_t* panel;
  size_t first;  // the panel's first input
  size_t count;
  float* out;
  size_t out_stride;  // floats from one output row to the next
  size_t columns;     // how many of the panel's columns are wanted
  bool accumulate;    // add to `out` instead of overwriting it
};

// A product of a few activation rows, which are arranged, with whole weight rows.
struct DirectProduct {
  Rows weights;
  const uint8_t* activations;
  size_t activation_stride;  // bytes from one arranged row to the next
  size_t inputs;
  size_t rows;
  float* out;
  size_t out_stride;  // floats from one output row to the next
};

// How a few activation rows are multiplied by weights where they are, without a panel.
struct Direct {
  size_t (*arranged_bytes)(size_t inputs);
  // A row in the form that `multiply` reads, from its prepared form.
  void (*arrange)(const uint8_t* prepared, size_t inputs, uint8_t* arranged);
  void (*multiply)(const DirectProduct& product);
};

// How one type of weights is multiplied. A panel is a few weight rows (the columns of the output) rearranged so that a
// vector register holds one input of many columns; it is packed into the L2 cache and used for all activation rows.
struct Kernel {
  size_t columns;       // of a panel
  size_t input_step;    // the number of inputs is a multiple of it
  size_t chunk_inputs;  // the most inputs of a panel
  size_t chunk_bytes;   // of such a panel
  // Activations in the form that `multiply` reads: 8-bit codes with a scale for each 32, bf16, or null: floats as they are.
  size_t (*prepared_bytes)(size_t inputs);
  void (*prepare)(const float* row, size_t inputs, uint8_t* prepared);
  void (*pack)(const Rows& rows, size_t first, size_t count, uint8_t* panel);
  void (*multiply)(const Product& product);
  Direct direct;
};

// One step of soft-max over a block of scores, row by row: p = exp(scale * score + mask - max), in place.
struct SoftMaxBlock {
  float* scores;
  size_t count;  // scores of a row, a multiple of 16
  float scale;
  const float* mask;  // of this row, or null
  float* max;         // running maximum of the row
  float* sum;         // running sum of the row
  float* out;         // the row's weighted sum so far, scaled down where the maximum grows
  size_t out_count;
};

struct Kernels {
  const char* name;
  // Null where this instruction set has nothing for the type.
  const Kernel* (*kernel)(ggml_type weights);
  void (*soft_max_row)(const SoftMaxBlock& block);
};

extern const Kernels kAvx512Vnni;
extern const Kernels kAvx512VnniBf16;
extern const Kernels kAvxVnni;
extern const Kernels kAvx2;

// AVX-512 with BF16 is a set of its own among the processors with VNNI.
extern const Kernel kAvx512Bf16;

}  // namespace scorehead::accel
