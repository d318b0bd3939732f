# Builds native/ into build/Release/qwen_pt.node, and beside it native/text/ into qwen_pt_text.node and (on Linux)
# native/distributed/ into qwen_pt_distributed.node, by node-gyp: the same sources and flags as CMakeLists.txt, whose comments say why. `npm run build:gyp` calls it.
{
  "variables": {
    "libtorch%": "<!(node scripts/libtorch.mjs --print root)",
    "avx2_count": "<!(node scripts/sources.mjs avx2 --count)",
  },
  "target_defaults": {
    # the first has one header in place of libtorch's, which asks for Python's: a target's own folders come after these
    "include_dirs": [
      "native/distributed/fake",
      "native",
      "<!(node scripts/libtorch.mjs --print node-addon-api)",
      "<!(node scripts/libtorch.mjs --print node-api-headers)",
      "<(libtorch)/include",
      "<(libtorch)/include/torch/csrc/api/include",
    ],
    "defines": [
      "NAPI_VERSION=9",
      "NAPI_CPP_EXCEPTIONS",
      "NODE_ADDON_API_DISABLE_DEPRECATED",
      "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS",
      "NDEBUG",
    ],
    "cflags!": ["-O3", "-fno-omit-frame-pointer"],
    "cflags_cc!": ["-fno-exceptions", "-fno-rtti", "-std=gnu++17", "-std=gnu++20", "-std=c++17"],
    "cflags": ["-O2", "-fvisibility=hidden", "-fPIC"],
    "cflags_cc": ["-std=c++20", "-fexceptions", "-frtti", "-Wno-unused-parameter"],
    "xcode_settings": {
      "CLANG_CXX_LANGUAGE_STANDARD": "c++20",
      "CLANG_CXX_LIBRARY": "libc++",
      "GCC_ENABLE_CPP_EXCEPTIONS": "YES",
      "GCC_ENABLE_CPP_RTTI": "YES",
      "GCC_OPTIMIZATION_LEVEL": "2",
      "MACOSX_DEPLOYMENT_TARGET": "11.0",
    },
    "msvs_settings": {
      "VCCLCompilerTool": {
        "ExceptionHandling": 1,
        "RuntimeTypeInfo": "true",
        "RuntimeLibrary": 2,
        "AdditionalOptions!": ["/std:c++17", "-std:c++17"],
        "AdditionalOptions": [
          "/std:c++20", "/EHsc", "/bigobj", "/permissive-", "/utf-8", "/openmp:experimental", "/wd4624",
        ],
      },
    },
    "conditions": [
      ["OS=='linux'", {"cflags": ["-fopenmp", "-Wno-unknown-pragmas"], "defines": ["_GLIBCXX_USE_CXX11_ABI=1"]}],
      ["OS=='win'", {"defines": ["NOMINMAX", "WIN32_LEAN_AND_MEAN", "_USE_MATH_DEFINES"]}],
    ],
  },
  "conditions": [
    ["target_arch=='x64' and <(avx2_count)>0", {"targets": [{
      "target_name": "kernels_avx2",
      "type": "static_library",
      "sources": ["<!@(node scripts/sources.mjs avx2)"],
      "defines": ["CPU_CAPABILITY=AVX2", "CPU_CAPABILITY_AVX2"],
      "cflags": ["-mavx2", "-mfma", "-mf16c"],
      "msvs_settings": {"VCCLCompilerTool": {"AdditionalOptions": ["/arch:AVX2"]}},
    }, {
      "target_name": "kernels_avx2vnni",
      "type": "static_library",
      "sources": ["<!@(node scripts/sources.mjs avx2vnni)"],
      "defines": ["CPU_CAPABILITY=AVX2VNNI", "CPU_CAPABILITY_AVX2"],
      "cflags": ["-mavx2", "-mfma", "-mf16c", "-mavxvnni"],
      "msvs_settings": {"VCCLCompilerTool": {"AdditionalOptions": ["/arch:AVX2"]}},
    }, {
      "target_name": "kernels_avx512",
      "type": "static_library",
      "sources": ["<!@(node scripts/sources.mjs avx512)"],
      "defines": ["CPU_CAPABILITY=AVX512", "CPU_CAPABILITY_AVX512"],
      "cflags": ["-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx512vnni", "-mavx2", "-mfma", "-mf16c", "-mavx512bf16"],
      "msvs_settings": {"VCCLCompilerTool": {"AdditionalOptions": ["/arch:AVX512"]}},
    }, {
      "target_name": "kernels_avx512vnni",
      "type": "static_library",
      "sources": ["<!@(node scripts/sources.mjs avx512vnni)"],
      "defines": ["CPU_CAPABILITY=AVX512VNNI", "CPU_CAPABILITY_AVX512"],
      "cflags": ["-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mavx512vnni", "-mavx2", "-mfma", "-mf16c"],
      "msvs_settings": {"VCCLCompilerTool": {"AdditionalOptions": ["/arch:AVX512"]}},
    }]}],
    ["OS=='linux'", {"targets": [{
      "target_name": "qwen_pt_environment",
      "sources": ["native/environment/environment.cc"],
    }, {
      "target_name": "qwen_pt_distributed",
      "sources": ["<!@(node scripts/sources.mjs distributed)"],
      "include_dirs": ["native/distributed"],
      "defines": ["USE_DISTRIBUTED", "USE_C10D_GLOO"],
      "libraries": ["<(libtorch)/lib/libtorch_cpu.so", "<(libtorch)/lib/libc10.so"],
      "ldflags": ["-Wl,-z,now,-z,nodelete", "-Wl,-rpath,<(libtorch)/lib"],
    }]}],
  ],
  "targets": [{
    "target_name": "qwen_pt_text",
    "sources": ["<!@(node scripts/sources.mjs text)"],
  }, {
    "target_name": "qwen_pt",
    "sources": ["<!@(node scripts/sources.mjs)"],
    "conditions": [
      ["target_arch=='x64' and <(avx2_count)>0", {
        "dependencies": ["kernels_avx2", "kernels_avx2vnni", "kernels_avx512", "kernels_avx512vnni"],
      }],
      ["OS=='linux'", {
        "libraries": ["<(libtorch)/lib/libtorch_cpu.so", "<(libtorch)/lib/libc10.so"],
        "ldflags": ["-Wl,-z,now", "-Wl,-rpath,<(libtorch)/lib"],
      }],
      ["OS=='mac'", {
        "libraries": ["<(libtorch)/lib/libtorch_cpu.dylib", "<(libtorch)/lib/libc10.dylib"],
        "xcode_settings": {"OTHER_LDFLAGS": ["-Wl,-rpath,<(libtorch)/lib"]},
      }],
      ["OS=='win'", {"libraries": ["<(libtorch)/lib/torch_cpu.lib", "<(libtorch)/lib/c10.lib"]}],
    ],
  }],
}
