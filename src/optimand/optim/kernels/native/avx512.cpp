// The engine for AVX-512 with byte permutes (Ice Lake, Zen 4 and later): 16 lanes, tables in registers.
#include "common.h"

#ifdef OPTIMAND_X86

#include <immintrin.h>

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,fma,bmi2"))), \
                             apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi,fma,bmi2")
#endif

namespace optimand {
namespace {

constexpr int W = 16;
typedef __m512 F;

#include "half.inc"

OPTIMAND_INLINE F load(const float* x) { return _mm512_loadu_ps(x); }
OPTIMAND_INLINE void store(float* x, F value) { _mm512_storeu_ps(x, value); }
OPTIMAND_INLINE F root(F x) { return _mm512_sqrt_ps(x); }
OPTIMAND_INLINE F larger(F a, F b) { return _mm512_max_ps(a, b); }
OPTIMAND_INLINE F sign(F x) {
  F zero = _mm512_setzero_ps(), one = _mm512_set1_ps(1.0f);
  F positive = _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, zero, _CMP_GT_OQ), one);
  return _mm512_mask_sub_ps(positive, _mm512_cmp_ps_mask(x, zero, _CMP_LT_OQ), zero, one);
}

// The largest bit patterns, as signed and as unsigned numbers; NaN and inf are larger than any number.
struct Extremes {
  __m512i high, low;

  // Written out, because the compiler makes its own for another target.
  OPTIMAND_INLINE Extremes() : high(_mm512_set1_epi32(INT32_MIN)), low(_mm512_setzero_si512()) {}
  OPTIMAND_INLINE void take(F x, bool has_sign) {
    if (has_sign) high = _mm512_max_epi32(high, _mm512_castps_si512(x));
    low = _mm512_max_epu32(low, _mm512_castps_si512(x));
  }
  OPTIMAND_INLINE int32_t highest() const { return _mm512_reduce_max_epi32(high); }
  OPTIMAND_INLINE uint32_t lowest() const { return _mm512_reduce_max_epu32(low); }
};

OPTIMAND_INLINE __m512i from_two(const uint8_t* table, __m512i at) {
  return _mm512_permutex2var_epi8(_mm512_loadu_si512(table), at, _mm512_loadu_si512(table + 64));
}

// The argument stands in memory: a broadcast from there costs nothing but the load.
OPTIMAND_INLINE __m512i all(const uint32_t& x) { return _mm512_set1_epi32(int(x)); }
OPTIMAND_INLINE __m512i all(const int32_t& x) { return _mm512_set1_epi32(x); }

// Values of 64 codes from the tables of their four bytes.
template <Kind KIND>
OPTIMAND_INLINE void decode64(const Map& map, const uint8_t* source, float* out) {
  __m512i codes;
  if (KIND != ANY || map.bits == 8) {
    codes = _mm512_loadu_si512(source);
  } else {
    __m512i wide = _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(source)));
    codes = _mm512_and_si512(_mm512_or_si512(wide, _mm512_slli_epi16(wide, 4)), _mm512_set1_epi8(15));
  }
  // Interleaving works within 128 bits: bring there what belongs together.
  const __m512i turn = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  codes = _mm512_permutexvar_epi32(turn, codes);
  __mmask64 upper = _mm512_movepi8_mask(codes);
  __m512i plane[4];
  if (KIND == SIGNED8) {
    // Codes up to 126 have the values of those from 254 down to 128, but for the sign.
    __m512i at = _mm512_mask_sub_epi8(codes, _knot_mask64(upper), all(map.below_codes), codes);
    __mmask64 not_zero = _mm512_cmpneq_epi8_mask(codes, all(map.middle_codes));
    for (int k = 0; k < 4; k++) {
      const uint8_t* t = map.planes[k] + 128;
      plane[k] = _mm512_maskz_permutex2var_epi8(not_zero, _mm512_loadu_si512(t), at, _mm512_loadu_si512(t + 64));
    }
    plane[3] = _mm512_mask_add_epi8(plane[3], _kandn_mask64(upper, not_zero), plane[3], all(map.signs));
  } else {
    for (int k = 0; k < 4; k++) {
      const uint8_t* t = map.planes[k];
      __m512i a = _mm512_permutex2var_epi8(_mm512_loadu_si512(t), codes, _mm512_loadu_si512(t + 64));
      __m512i b = _mm512_permutex2var_epi8(_mm512_loadu_si512(t + 128), codes, _mm512_loadu_si512(t + 192));
      plane[k] = _mm512_mask_blend_epi8(upper, a, b);
    }
  }
  __m512i low0 = _mm512_unpacklo_epi8(plane[0], plane[1]), high0 = _mm512_unpackhi_epi8(plane[0], plane[1]);
  __m512i low1 = _mm512_unpacklo_epi8(plane[2], plane[3]), high1 = _mm512_unpackhi_epi8(plane[2], plane[3]);
  _mm512_storeu_si512(out, _mm512_unpacklo_epi16(low0, low1));
  _mm512_storeu_si512(out + 16, _mm512_unpackhi_epi16(low0, low1));
  _mm512_storeu_si512(out + 32, _mm512_unpacklo_epi16(high0, high1));
  _mm512_storeu_si512(out + 48, _mm512_unpackhi_epi16(high0, high1));
}

OPTIMAND_INLINE __m512i look_up(const void* table, __m512i at) {
  const __m512i* t = static_cast<const __m512i*>(table);
  return _mm512_permutex2var_epi32(_mm512_loadu_si512(t), at, _mm512_loadu_si512(t + 1));
}

uint8_t exact_code(const Map& map, const Encoding& e, float x, int guess);

__attribute__((noinline, cold)) void settle_uncertain(const Map& map, const Encoding& e, const float* x, uint8_t* out,
                                                      uint64_t lanes) {
  for (; lanes; lanes &= lanes - 1) {
    int i = __builtin_ctzll(lanes);
    out[i] = exact_code(map, e, x[i], out[i]);
  }
}

template <Kind KIND>
OPTIMAND_INLINE void encode64(const Map& map, const Encoding& e, const float* x, uint8_t* out) {
  const bool is_signed = KIND == ANY ? map.is_signed : KIND == SIGNED8;
  const __m512 inverse = _mm512_set1_ps(e.inverse), shift = _mm512_set1_ps(map.shift);
  __m512i u[4];
  __mmask16 uncertain[4], below[4];
  for (int i = 0; i < 4; i++) {
    __m512 given = load(x + 16 * i);
    __m512 y = _mm512_fmadd_ps(is_signed ? _mm512_abs_ps(given) : given, inverse, shift);
    __m512i bits = _mm512_castps_si512(y);
    bits = _mm512_add_epi32(bits, look_up(map.bump, _mm512_srli_epi32(bits, 23)));
    __m512i line = _mm512_srli_epi32(bits, 23);
    __m512 slope = _mm512_castsi512_ps(look_up(map.slope, line));
    __m512 offset = _mm512_castsi512_ps(look_up(map.offset, line));
    __m512i t = _mm512_cvtps_epi32(_mm512_fmadd_ps(y, slope, offset));
    uncertain[i] = _mm512_testn_epi32_mask(t, all(map.uncertain));
    u[i] = _mm512_min_epi32(t, look_up(map.cap, line));
    if (is_signed) {
      below[i] = _mm512_movepi32_mask(_mm512_castps_si512(given));
    } else if (KIND == ANY && map.floor) {
      __mmask16 positive = _mm512_cmp_ps_mask(given, _mm512_setzero_ps(), _CMP_GT_OQ);
      u[i] = _mm512_mask_max_epi32(u[i], positive, u[i], all(map.one));
    }
  }
  // The upper halves of the four, side by side.
  __m512i even = _mm512_ternarylogic_epi32(all(map.upper_half), u[2], _mm512_srli_epi32(u[0], 16), 0xCA);
  __m512i odd = _mm512_ternarylogic_epi32(all(map.upper_half), u[3], _mm512_srli_epi32(u[1], 16), 0xCA);
  const __m512i order = _mm512_setr_epi32(
      0x0C080400, 0x1C181410, 0x2C282420, 0x3C383430, 0x0D090501, 0x1D191511, 0x2D292521, 0x3D393531,
      0x0E0A0602, 0x1E1A1612, 0x2E2A2622, 0x3E3A3632, 0x0F0B0703, 0x1F1B1713, 0x2F2B2723, 0x3F3B3733);
  __m512i bytes = _mm512_or_si512(even, _mm512_slli_epi16(odd, 8));
  bytes = _mm512_permutexvar_epi8(order, bytes);
  if (is_signed) {
    __mmask64 negative = _mm512_kunpackd(_mm512_kunpackw(below[3], below[2]), _mm512_kunpackw(below[1], below[0]));
    negative = _kxor_mask64(negative, _cvtu64_mask64(e.turned));
    const __m512i zero = all(map.middle_codes);
    bytes = _mm512_mask_subs_epu8(_mm512_add_epi8(bytes, zero), negative, zero, bytes);
  }
  _mm512_storeu_si512(out, bytes);
  __mmask16 first = _kor_mask16(uncertain[0], uncertain[1]), second = _kor_mask16(uncertain[2], uncertain[3]);
  if (OPTIMAND_UNLIKELY(!_kortestz_mask16_u8(first, second))) {
    settle_uncertain(map, e, x, out,
                     uint64_t(uncertain[0]) | uint64_t(uncertain[1]) << 16 | uint64_t(uncertain[2]) << 32 |
                         uint64_t(uncertain[3]) << 48);
  }
}

#include "rules.inc"
#include "engine.inc"

}  // namespace

int64_t run_avx512(int64_t operation, const Job& job, int64_t begin, int64_t end) {
  return run(operation, job, begin, end);
}

}  // namespace optimand

#ifdef __clang__
#pragma clang attribute pop
#endif

#else

namespace optimand {
int64_t run_avx512(int64_t, const Job&, int64_t, int64_t) { return -1; }
}  // namespace optimand

#endif
