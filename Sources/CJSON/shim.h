// SPDX-License-Identifier: Apache-2.0
//
// Looks at many bytes of JSON together: by vector instructions that every x86-64 has and Swift cannot name, elsewhere by
// words.
#ifndef PENSTOCK_CJSON_H
#define PENSTOCK_CJSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#endif

/// Where the next quote or backslash is from `index` on; `count` when there is none.
static inline size_t penstock_json_mark(const uint8_t *bytes, size_t index, size_t count) {
#if defined(__SSE2__)
    const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\');
    while (index + 16 <= count) {
        const __m128i text = _mm_loadu_si128((const __m128i *)(const void *)(bytes + index));
        const __m128i found = _mm_or_si128(_mm_cmpeq_epi8(text, quote), _mm_cmpeq_epi8(text, slash));
        const unsigned places = (unsigned)_mm_movemask_epi8(found);
        if (places) return index + (size_t)__builtin_ctz(places);
        index += 16;
    }
#else
    const uint64_t each = 0x0101010101010101u;
    while (index + 8 <= count) {
        uint64_t word;
        memcpy(&word, bytes + index, sizeof(word));
        const uint64_t quote = word ^ each * '"', slash = word ^ each * '\\';
        // The high bit of a byte is set where it is zero, and perhaps in others beside one; the loop below finds the first.
        if ((((quote - each) & ~quote) | ((slash - each) & ~slash)) & each << 7) break;
        index += 8;
    }
#endif
    while (index < count && bytes[index] != '"' && bytes[index] != '\\') index++;
    return index;
}

/// Where the next byte is, from `index` on, that a JSON string cannot hold as it is, or that is not of ASCII: a control
/// character, a quote, a backslash, a byte above 0x7F; `count` when there is none.
static inline size_t penstock_json_special(const uint8_t *bytes, size_t index, size_t count) {
#if defined(__SSE2__)
    const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\'), space = _mm_set1_epi8(' ');
    while (index + 16 <= count) {
        const __m128i text = _mm_loadu_si128((const __m128i *)(const void *)(bytes + index));
        const __m128i marks = _mm_or_si128(_mm_cmpeq_epi8(text, quote), _mm_cmpeq_epi8(text, slash));
        // As signed numbers, bytes above 0x7F are below a space, too.
        const __m128i found = _mm_or_si128(marks, _mm_cmplt_epi8(text, space));
        const unsigned places = (unsigned)_mm_movemask_epi8(found);
        if (places) return index + (size_t)__builtin_ctz(places);
        index += 16;
    }
#else
    const uint64_t each = 0x0101010101010101u;
    while (index + 8 <= count) {
        uint64_t word;
        memcpy(&word, bytes + index, sizeof(word));
        const uint64_t quote = word ^ each * '"', slash = word ^ each * '\\';
        // A borrow goes on to the next byte only where there was one: the loop below finds the first.
        if ((word | (word - each * ' ') | (quote - each) | (slash - each)) & each << 7) break;
        index += 8;
    }
#endif
    while (index < count && bytes[index] >= ' ' && bytes[index] < 0x80 && bytes[index] != '"' && bytes[index] != '\\') {
        index++;
    }
    return index;
}

/// Whether there is a comma, a blank or a byte below it from `index` to `end`, in a text of `count` bytes.
static inline bool penstock_json_has_blank_or_comma(const uint8_t *bytes, size_t index, size_t end, size_t count) {
#if defined(__SSE2__)
    const __m128i comma = _mm_set1_epi8(','), blank = _mm_set1_epi8(' ');
    for (; index < end && index + 16 <= count; index += 16) {
        const __m128i text = _mm_loadu_si128((const __m128i *)(const void *)(bytes + index));
        const __m128i blanks = _mm_cmpeq_epi8(_mm_min_epu8(text, blank), text);
        const unsigned places = (unsigned)_mm_movemask_epi8(_mm_or_si128(blanks, _mm_cmpeq_epi8(text, comma)));
        if (places && index + (size_t)__builtin_ctz(places) < end) return true;
    }
#endif
    while (index < end && bytes[index] > ' ' && bytes[index] != ',') index++;
    return index < end;
}

#if defined(__x86_64__)

/// Of 64 bytes, those that a backslash takes away what they mean; `is_next` says whether the first one is such a byte, and is
/// told of the byte behind the last one. A run of backslashes that begins at an odd place ends as one that begins at an even
/// place does, but for one byte. (G. Langdale and D. Lemire, "Parsing Gigabytes of JSON per Second", 2019.)
static inline uint64_t penstock_json_escaped(uint64_t slashes, uint64_t *is_next) {
    const uint64_t even = 0x5555555555555555u;
    slashes &= ~*is_next;
    const uint64_t behind = slashes << 1 | *is_next;
    uint64_t sum;
    *is_next = __builtin_add_overflow(slashes & ~even & ~behind, slashes, &sum);
    return (even ^ sum << 1) & behind;
}

/// Of 64 bytes, those that are like all bytes of `wanted`.
__attribute__((target("avx2"))) static inline uint64_t penstock_json_equal(__m256i low, __m256i high, __m256i wanted) {
    const uint32_t above = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(high, wanted));
    return (uint64_t)above << 32 | (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(low, wanted));
}

/// ``penstock_json_container_end`` by 64 bytes at a time, each of them a bit.
__attribute__((target("avx2,bmi,pclmul,popcnt"))) static inline size_t penstock_json_container_end_avx2(
    const uint8_t *bytes, size_t index, size_t count
) {
    uint64_t is_escaped = 0, is_text = 0;
    size_t depth = 0;
    for (; index < count; index += 64) {
        uint8_t last[64];
        const uint8_t *block = bytes + index;
        if (count - index < sizeof(last)) {
            memset(last, 0, sizeof(last));
            memcpy(last, block, count - index);
            block = last;
        }
        const __m256i low = _mm256_loadu_si256((const __m256i *)(const void *)block);
        const __m256i high = _mm256_loadu_si256((const __m256i *)(const void *)(block + 32));
        uint64_t quotes = penstock_json_equal(low, high, _mm256_set1_epi8('"'));
        const uint64_t slashes = penstock_json_equal(low, high, _mm256_set1_epi8('\\'));
        if (slashes | is_escaped) quotes &= ~penstock_json_escaped(slashes, &is_escaped);
        // The middle of a long string.
        if (is_text && !quotes) continue;
        // A product without carries: each bit is the sum of those up to it, so all from a quote to the next one are set.
        const __m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128((int64_t)quotes), _mm_set1_epi8(-1), 0);
        const uint64_t texts = (uint64_t)_mm_cvtsi128_si64(product) ^ is_text;
        is_text = (uint64_t)0 - (texts >> 63);
        // A brace is a bracket with one more bit.
        const __m256i more = _mm256_set1_epi8('{' ^ '['), low_braces = _mm256_or_si256(low, more);
        const __m256i high_braces = _mm256_or_si256(high, more);
        uint64_t opens = penstock_json_equal(low_braces, high_braces, _mm256_set1_epi8('{')) & ~texts;
        uint64_t closes = penstock_json_equal(low_braces, high_braces, _mm256_set1_epi8('}')) & ~texts;
        for (; closes; closes &= closes - 1) {
            const uint64_t through = closes ^ (closes - 1);
            depth += (size_t)__builtin_popcountll(opens & through);
            opens &= ~through;
            if (depth <= 1) return depth == 1 ? index + (size_t)__builtin_ctzll(closes) + 1 : 0;
            depth--;
        }
        depth += (size_t)__builtin_popcountll(opens);
    }
    return 0;
}

#endif

/// ``penstock_json_container_end`` by each byte that is in no string.
static inline size_t penstock_json_container_end_by_byte(const uint8_t *bytes, size_t index, size_t count) {
    for (size_t depth = 0; index < count; index++) {
        if (bytes[index] == '"') {
            index = penstock_json_mark(bytes, index + 1, count);
            while (index < count && bytes[index] == '\\') index = penstock_json_mark(bytes, index + 2, count);
            continue;
        }
        const uint8_t brace = bytes[index] | ('{' ^ '[');
        if (brace == '{') {
            depth++;
        } else if (brace == '}') {
            if (depth <= 1) return depth == 1 ? index + 1 : 0;
            depth--;
        }
    }
    return 0;
}

/// Where the object or array ends whose first byte is at `index`, behind its last bracket; 0 when it does not end before `count`.
///
/// Only strings and brackets are looked at, and each bracket counts like any other of its direction.
static inline size_t penstock_json_container_end(const uint8_t *bytes, size_t index, size_t count) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("pclmul")
        && __builtin_cpu_supports("popcnt")) {
        return penstock_json_container_end_avx2(bytes, index, count);
    }
#endif
    return penstock_json_container_end_by_byte(bytes, index, count);
}

#endif
