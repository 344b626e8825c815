// What the instruction sets' versions of the engine share: the layout of their arguments, and nothing that is compiled.
#pragma once

#include <cstddef>
#include <cstdint>

namespace optimand {

constexpr int GROUP = 64;         // elements that are decoded and encoded together
constexpr int MAX_BLOCK = 4096;   // elements that share a scale
constexpr int MAX_STATES = 3;
constexpr int AHEAD = 256;        // elements that prefetching runs ahead

// The tables of one map, made by blockwise/encoding.py, which also says how codes are found with them.
struct Map {
  float table[256];
  float middle[256];
  uint32_t bump[32];
  float slope[32];
  float offset[32];
  int32_t cap[32];
  uint8_t planes[4][256];
  float coarse_bound[8];
  float coarse_slope[8];
  float coarse_offset[8];
  int32_t coarse_cap[8];
  uint8_t coarse_first[16];
  float top_slope;
  float top_offset;
  int32_t bits;
  int32_t is_signed;
  int32_t floor;
  int32_t zero;
  int32_t last;
  // Constants that would otherwise be moved from general registers, at the cost of the shuffle unit.
  int32_t uncertain;        // the bits of a fraction that is far enough from a whole number
  uint32_t upper_half;
  int32_t one;              // in fixed point
  uint32_t middle_codes;    // of a signed map, four times: the code of 0,
  uint32_t below_codes;     // and the code below it
  uint32_t signs;
  float shift;              // added to y
};

// What the code of a state is compiled for: any map, or one of the two that optimizers use by default.
enum Kind { ANY, SIGNED8, UNSIGNED8 };

// One quantized state of the formula.
struct State {
  const Map* map;
  int64_t signed_scale;
  int64_t root;             // whether the square root is stored
  uint8_t* const* codes;    // by tensor
  float* const* scales;     // by tensor
};

// A call's arguments, made by native/__init__.py: every field has 8 bytes.
struct Job {
  int64_t rule;
  int64_t param_dtype;      // 0 float32, 1 bfloat16, 2 float16
  int64_t grad_dtype;
  int64_t stochastic;
  int64_t block;
  int64_t width;            // of a row of the table: the gradient's factor and the scalars
  const int64_t* tensors;   // by chunk: its tensor, its first element (a multiple of the block) and its length
  const int64_t* offsets;
  const int64_t* lengths;
  const int64_t* rows;      // by tensor
  const double* table;
  const uint32_t* keys;     // by tensor
  uint8_t* skipped;         // by tensor: set where a block was left as it was
  double* norms;            // by chunk: two sums of squares
  void* const* params;      // by tensor
  void* const* grads;       // by tensor
  State states[MAX_STATES];
};

enum Operation : int64_t { STEP = 0, NORMS = 1, QUANTIZE = 2, DEQUANTIZE = 3 };

// How a block's values are encoded.
struct Encoding {
  enum Mode { FAST, ZEROS, EXACT } mode;
  float scale;
  float inverse;     // of the scale's magnitude
  uint64_t turned;   // all bits set if the scale is negative
};

// Each runs the chunks from begin to end - 1; returns 0, or -1 where it has no such rule.
int64_t run_avx2(int64_t operation, const Job& job, int64_t begin, int64_t end);
int64_t run_avx512(int64_t operation, const Job& job, int64_t begin, int64_t end);

#define OPTIMAND_INLINE inline __attribute__((always_inline))
#define OPTIMAND_RESTRICT __restrict__
#define OPTIMAND_UNLIKELY(x) __builtin_expect(!!(x), 0)
#if defined(__x86_64__)
#define OPTIMAND_X86 1
#endif

}  // namespace optimand
