# The accelerator, a shared library beside the addon.
{
  "includes": ["kernels.gypi"],
  "targets": [
    {
      "target_name": "scorehead-accel",
      "type": "shared_library",
      "product_prefix": "",
      "product_dir": "<(PRODUCT_DIR)",
      "dependencies": ["accel_avx2", "accel_avx_vnni", "accel_avx512_vnni", "accel_avx512_bf16"],
      "sources": ["attention.cc", "backend.cc", "cpu.cc", "graph.cc", "match.cc", "matmul.cc"],
      "include_dirs": ["../vendor/ggml/include", "../vendor/ggml/src"],
      "cflags_cc": ["-O2"]
    }
  ]
}
