// SPDX-License-Identifier: Apache-2.0
//
// Base64 by vector instructions, which Swift cannot name: it has no shuffle of bytes, and no function compiled for more
// than the oldest processor. The arithmetic is that of W. Mula and D. Lemire, "Faster Base64 Encoding and Decoding Using
// AVX2 Instructions" (2018).
#ifndef PENSTOCK_CBASE64_H
#define PENSTOCK_CBASE64_H

#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__)
#include <immintrin.h>

__attribute__((target("avx2"))) static inline size_t penstock_base64_avx2(
    const uint8_t *source, size_t count, uint8_t *target
) {
    // Three bytes b0 b1 b2 become the four bytes b1 b0 b2 b1, in which each of the four characters' bits are near.
    const __m256i spread = _mm256_setr_epi8(
        1, 0, 2, 1, 4, 3, 5, 4, 7, 6, 8, 7, 10, 9, 11, 10,
        1, 0, 2, 1, 4, 3, 5, 4, 7, 6, 8, 7, 10, 9, 11, 10
    );
    // What is added to the value of a character: for a to z, the ten digits, +, /, and A to Z.
    const __m256i offsets = _mm256_setr_epi8(
        71, -4, -4, -4, -4, -4, -4, -4, -4, -4, -4, -19, -16, 65, 0, 0,
        71, -4, -4, -4, -4, -4, -4, -4, -4, -4, -4, -19, -16, 65, 0, 0
    );
    size_t done = 0;
    // 24 bytes at a time; the two loads read 28.
    while (count - done >= 28) {
        const __m128i low = _mm_loadu_si128((const __m128i *)(const void *)(source + done));
        const __m128i high = _mm_loadu_si128((const __m128i *)(const void *)(source + done + 12));
        const __m256i bytes = _mm256_shuffle_epi8(_mm256_set_m128i(high, low), spread);
        const __m256i odd = _mm256_mulhi_epu16(
            _mm256_and_si256(bytes, _mm256_set1_epi32(0x0FC0FC00)), _mm256_set1_epi32(0x04000040)
        );
        const __m256i even = _mm256_mullo_epi16(
            _mm256_and_si256(bytes, _mm256_set1_epi32(0x003F03F0)), _mm256_set1_epi32(0x01000010)
        );
        const __m256i values = _mm256_or_si256(odd, even);
        // 0 for a to z, 1 to 10 for digits, 11, 12, and 13 for A to Z.
        const __m256i above = _mm256_subs_epu8(values, _mm256_set1_epi8(51));
        const __m256i capital = _mm256_cmpgt_epi8(_mm256_set1_epi8(26), values);
        const __m256i kind = _mm256_or_si256(above, _mm256_and_si256(capital, _mm256_set1_epi8(13)));
        const __m256i characters = _mm256_add_epi8(values, _mm256_shuffle_epi8(offsets, kind));
        _mm256_storeu_si256((__m256i *)(void *)target, characters);
        target += 32;
        done += 24;
    }
    return done;
}

/// Whether this processor has the instructions.
static inline int penstock_base64_is_vectorized(void) { return __builtin_cpu_supports("avx2"); }

#else

static inline size_t penstock_base64_avx2(const uint8_t *source, size_t count, uint8_t *target) {
    (void)source, (void)count, (void)target;
    return 0;
}

static inline int penstock_base64_is_vectorized(void) { return 0; }

#endif

#endif
