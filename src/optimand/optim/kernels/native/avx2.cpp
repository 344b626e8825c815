// The engine for AVX2 with fused multiply-add: 8 lanes, tables in the first-level cache and in registers.
#include "common.h"

#ifdef OPTIMAND_X86

#include <immintrin.h>

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma,bmi2"))), apply_to = function)
#else
#pragma GCC target("avx2,fma,bmi2")
#endif

namespace optimand {
namespace {

constexpr int W = 8;
typedef __m256 F;

#include "half.inc"

OPTIMAND_INLINE F load(const float* x) { return _mm256_loadu_ps(x); }
OPTIMAND_INLINE void store(float* x, F value) { _mm256_storeu_ps(x, value); }
OPTIMAND_INLINE F root(F x) { return _mm256_sqrt_ps(x); }
OPTIMAND_INLINE F larger(F a, F b) { return _mm256_max_ps(a, b); }
OPTIMAND_INLINE F sign(F x) {
  F zero = _mm256_setzero_ps(), one = _mm256_set1_ps(1.0f);
  F positive = _mm256_and_ps(_mm256_cmp_ps(x, zero, _CMP_GT_OQ), one);
  return _mm256_sub_ps(positive, _mm256_and_ps(_mm256_cmp_ps(x, zero, _CMP_LT_OQ), one));
}

// The largest bit patterns, as signed and as unsigned numbers; NaN and inf are larger than any number.
struct Extremes {
  __m256i high, low;

  // Written out, because the compiler makes its own for another target.
  OPTIMAND_INLINE Extremes() : high(_mm256_set1_epi32(INT32_MIN)), low(_mm256_setzero_si256()) {}
  OPTIMAND_INLINE void take(F x, bool has_sign) {
    if (has_sign) high = _mm256_max_epi32(high, _mm256_castps_si256(x));
    low = _mm256_max_epu32(low, _mm256_castps_si256(x));
  }
  OPTIMAND_INLINE int32_t highest() const {
    __m128i x = _mm_max_epi32(_mm256_castsi256_si128(high), _mm256_extracti128_si256(high, 1));
    x = _mm_max_epi32(x, _mm_shuffle_epi32(x, 0x4E));
    return _mm_cvtsi128_si32(_mm_max_epi32(x, _mm_shuffle_epi32(x, 0xB1)));
  }
  OPTIMAND_INLINE uint32_t lowest() const {
    __m128i x = _mm_max_epu32(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1));
    x = _mm_max_epu32(x, _mm_shuffle_epi32(x, 0x4E));
    return uint32_t(_mm_cvtsi128_si32(_mm_max_epu32(x, _mm_shuffle_epi32(x, 0xB1))));
  }
};

#include "tables.inc"

uint8_t exact_code(const Map& map, const Encoding& e, float x, int guess);

template <Kind KIND>
OPTIMAND_INLINE void encode64(const Map& map, const Encoding& e, const float* x, uint8_t* out) {
  const bool is_signed = KIND == ANY ? map.is_signed : KIND == SIGNED8;
  const __m256 inverse = _mm256_set1_ps(e.inverse), shift = _mm256_set1_ps(map.shift);
  const __m256 magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7FFFFFFF));
  const __m256 turned = _mm256_castsi256_ps(_mm256_set1_epi32(e.scale < 0.0f ? INT32_MIN : 0));
  const __m128i* coarse_first = reinterpret_cast<const __m128i*>(map.coarse_first);
  const __m256i first = _mm256_broadcastsi128_si256(_mm_loadu_si128(coarse_first));
  const __m256 bound = load(map.coarse_bound), slopes = load(map.coarse_slope), offsets = load(map.coarse_offset);
  const __m256i caps = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(map.coarse_cap));
  const __m256 top_slope = _mm256_set1_ps(map.top_slope), top_offset = _mm256_set1_ps(map.top_offset);
  for (int half = 0; half < GROUP; half += 32) {
    __m256i q[4], uncertain = _mm256_setzero_si256();
    for (int i = 0; i < 4; i++) {
      __m256 given = load(x + half + 8 * i);
      __m256 y = _mm256_fmadd_ps(_mm256_and_ps(given, magnitude), inverse, shift);
      // The line from two octaves at a time, which hold one kink at most.
      __m256i line = _mm256_shuffle_epi8(first, _mm256_srli_epi32(_mm256_castps_si256(y), 24));
      __m256 beyond = _mm256_cmp_ps(y, _mm256_permutevar8x32_ps(bound, line), _CMP_GT_OQ);
      line = _mm256_sub_epi32(line, _mm256_castps_si256(beyond));
      __m256 slope = _mm256_permutevar8x32_ps(slopes, line), offset = _mm256_permutevar8x32_ps(offsets, line);
      __m256 top = _mm256_fmadd_ps(y, top_slope, top_offset);
      __m256i t = _mm256_cvtps_epi32(_mm256_max_ps(_mm256_fmadd_ps(y, slope, offset), top));
      __m256i fraction = _mm256_and_si256(t, _mm256_set1_epi32(map.uncertain));
      uncertain = _mm256_or_si256(uncertain, _mm256_cmpeq_epi32(fraction, _mm256_setzero_si256()));
      t = _mm256_srli_epi32(_mm256_min_epi32(t, _mm256_permutevar8x32_epi32(caps, line)), 16);
      if (is_signed) {
        t = _mm256_sign_epi32(t, _mm256_castps_si256(_mm256_xor_ps(given, turned)));
      } else if (KIND == ANY && map.floor) {
        __m256i positive = _mm256_castps_si256(_mm256_cmp_ps(given, _mm256_setzero_ps(), _CMP_GT_OQ));
        t = _mm256_max_epi32(t, _mm256_srli_epi32(positive, 31));
      }
      q[i] = t;
    }
    const __m256i zero = _mm256_set1_epi16(int16_t(is_signed ? map.zero : 0));
    __m256i words0 = _mm256_add_epi16(_mm256_packs_epi32(q[0], q[1]), zero);
    __m256i words1 = _mm256_add_epi16(_mm256_packs_epi32(q[2], q[3]), zero);
    __m256i bytes = _mm256_packus_epi16(words0, words1);
    bytes = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + half), bytes);
    if (OPTIMAND_UNLIKELY(!_mm256_testz_si256(uncertain, uncertain))) {
      for (int i = half; i < half + 32; i++) out[i] = exact_code(map, e, x[i], out[i]);
    }
  }
}

#include "rules.inc"
#include "engine.inc"

}  // namespace

int64_t run_avx2(int64_t operation, const Job& job, int64_t begin, int64_t end) {
  return run(operation, job, begin, end);
}

}  // namespace optimand

#ifdef __clang__
#pragma clang attribute pop
#endif

#else

namespace optimand {
int64_t run_avx2(int64_t, const Job&, int64_t, int64_t) { return -1; }
}  // namespace optimand

#endif
