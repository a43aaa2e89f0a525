// llama.cpp's own arithmetic, out of the libraries under test: to compare with, and to make weights of each type.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <ggml.h>

namespace check {

// Opens ggml's libraries by absolute path, and the CPU backend that fits this processor out of a folder.
void open_stock(const std::string& base, const std::string& ggml, const std::string& backends);

size_t row_bytes(ggml_type type, size_t inputs);
std::vector<uint8_t> quantise(ggml_type type, const std::vector<float>& weights, size_t inputs);
std::vector<float> dequantise(ggml_type type, const std::vector<uint8_t>& weights, size_t inputs);

// [rows, outputs]: `activations` [rows, inputs] times `weights` [outputs, inputs], by llama.cpp's CPU backend.
std::vector<float> stock_product(ggml_type type, const std::vector<uint8_t>& weights, const std::vector<float>& activations,
                                 size_t inputs);

}  // namespace check
