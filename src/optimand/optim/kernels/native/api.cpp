// The library's functions, for ctypes.
#include "common.h"

#if defined(_WIN32)
#define OPTIMAND_EXPORT extern "C" __declspec(dllexport)
#else
#define OPTIMAND_EXPORT extern "C" __attribute__((visibility("default")))
#endif

#ifndef OPTIMAND_SOURCES
#define OPTIMAND_SOURCES ""
#endif

// The digest of the sources that this library was made of: an old library must not serve newer Python code.
OPTIMAND_EXPORT const char* optimand_sources() { return OPTIMAND_SOURCES; }

// The best of the levels that this processor has: 0 none, 1 AVX2, 2 AVX-512.
OPTIMAND_EXPORT int64_t optimand_level() {
#ifdef OPTIMAND_X86
  __builtin_cpu_init();
  bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
  bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                __builtin_cpu_supports("avx512vbmi");
  return avx512 ? 2 : avx2 ? 1 : 0;
#else
  return 0;
#endif
}

OPTIMAND_EXPORT int64_t optimand_run(int64_t level, int64_t operation, const optimand::Job* job, int64_t begin,
                                     int64_t end) {
  switch (level) {
    case 2: return optimand::run_avx512(operation, *job, begin, end);
    case 1: return optimand::run_avx2(operation, *job, begin, end);
    default: return -1;
  }
}
