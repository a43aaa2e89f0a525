# The accelerator's kernels: a library for each instruction set, so that no code is compiled for more than the processors that
# run it.
{
  "variables": {
    # GCC 12 warns of its own vector headers.
    "kernel_flags": ["-std=c++17", "-O3", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra", "-Wno-uninitialized", "-Wno-maybe-uninitialized"],
    "avx512_flags": ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl"]
  },
  "targets": [
    {
      "target_name": "accel_avx2",
      "type": "static_library",
      "sources": ["kernels_avx2.cc"],
      "include_dirs": ["../vendor/ggml/include", "../vendor/ggml/src"],
      "cflags_cc": ["<@(kernel_flags)", "-mavx2", "-mfma", "-mf16c"]
    },
    {
      "target_name": "accel_avx_vnni",
      "type": "static_library",
      "sources": ["kernels_avx_vnni.cc"],
      "include_dirs": ["../vendor/ggml/include", "../vendor/ggml/src"],
      "cflags_cc": ["<@(kernel_flags)", "-mavx2", "-mfma", "-mf16c", "-mavxvnni"]
    },
    {
      "target_name": "accel_avx512_vnni",
      "type": "static_library",
      "sources": ["kernels_avx512_vnni.cc"],
      "include_dirs": ["../vendor/ggml/include", "../vendor/ggml/src"],
      "cflags_cc": ["<@(kernel_flags)", "<@(avx512_flags)", "-mavx512vnni"]
    },
    {
      "target_name": "accel_avx512_bf16",
      "type": "static_library",
      "sources": ["kernels_avx512_bf16.cc"],
      "include_dirs": ["../vendor/ggml/include", "../vendor/ggml/src"],
      "cflags_cc": ["<@(kernel_flags)", "<@(avx512_flags)", "-mavx512bf16"]
    }
  ]
}
