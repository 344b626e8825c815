// The engine without any instruction set's special functions: GCC's and clang's portable vectors of 4 lanes.
#include "common.h"

namespace optimand {
namespace {

constexpr int W = 4;
typedef float F __attribute__((vector_size(16)));
typedef int32_t Signed __attribute__((vector_size(16)));
typedef uint32_t Unsigned __attribute__((vector_size(16)));

#include "half.inc"

OPTIMAND_INLINE F load(const float* x) {
  F value;
  __builtin_memcpy(&value, x, 16);
  return value;
}
OPTIMAND_INLINE void store(float* x, F value) { __builtin_memcpy(x, &value, 16); }
OPTIMAND_INLINE F root(F x) {
  return F{__builtin_sqrtf(x[0]), __builtin_sqrtf(x[1]), __builtin_sqrtf(x[2]), __builtin_sqrtf(x[3])};
}
OPTIMAND_INLINE F larger(F a, F b) { return a > b ? a : b; }
OPTIMAND_INLINE F sign(F x) {
  F zero = {}, one = zero + 1.0f;
  return x > zero ? one : x < zero ? -one : zero;
}

// The largest bit patterns, as signed and as unsigned numbers; NaN and inf are larger than any number.
struct Extremes {
  Signed high = Signed{} + INT32_MIN;
  Unsigned low = {};

  OPTIMAND_INLINE void take(F x, bool has_sign) {
    Signed bits = Signed(x);
    if (has_sign) high = bits > high ? bits : high;
    low = Unsigned(bits) > low ? Unsigned(bits) : low;
  }
  int32_t highest() const {
    int32_t found = high[0];
    for (int k = 1; k < W; k++) found = high[k] > found ? high[k] : found;
    return found;
  }
  uint32_t lowest() const {
    uint32_t found = low[0];
    for (int k = 1; k < W; k++) found = low[k] > found ? low[k] : found;
    return found;
  }
};

#include "tables.inc"

uint8_t exact_code(const Map& map, const Encoding& e, float x, int guess);

template <Kind KIND>
OPTIMAND_INLINE void encode64(const Map& map, const Encoding& e, const float* x, uint8_t* out) {
  const bool is_signed = KIND == ANY ? map.is_signed : KIND == SIGNED8;
  for (int i = 0; i < GROUP; i++) {
    float y = __builtin_fabsf(x[i]) * e.inverse + map.shift;
    uint32_t bits = bits_of(y);
    uint32_t line = (bits + map.bump[bits >> 23 & 31]) >> 23 & 31;
    int32_t t = int32_t(y * map.slope[line] + map.offset[line]);
    int32_t code = (t < map.cap[line] ? t : map.cap[line]) >> 16;
    if (is_signed) {
      int32_t below = int32_t(bits_of(x[i]) ^ uint32_t(e.turned)) >> 31;  // no branch: signs are as good as random
      code = map.zero + ((code ^ below) - below);
      code = code < 0 ? 0 : code;
    } else if (KIND == ANY && map.floor) {
      code |= code == 0 && x[i] > 0.0f;
    }
    out[i] = uint8_t(code);
    if (OPTIMAND_UNLIKELY((t & map.uncertain) == 0)) out[i] = exact_code(map, e, x[i], code);
  }
}

#include "rules.inc"
#include "engine.inc"

}  // namespace

int64_t run_baseline(int64_t operation, const Job& job, int64_t begin, int64_t end) {
  return run(operation, job, begin, end);
}

}  // namespace optimand
