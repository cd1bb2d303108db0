// SPDX-License-Identifier: Apache-2.0
//
// Looks at many bytes of JSON together: by vector instructions that every x86-64 has and Swift cannot name, elsewhere by
// words.
#ifndef PENSTOCK_CJSON_H
#define PENSTOCK_CJSON_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
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

/// Where the object or array ends whose first byte is at `index`, behind its last bracket; 0 when it does not end before `count`.
///
/// Only strings and brackets are looked at, and each bracket counts like any other of its direction.
static inline size_t penstock_json_container_end(const uint8_t *bytes, size_t index, size_t count) {
    for (size_t depth = 0; index < count; index++) {
        if (bytes[index] == '"') {
            index = penstock_json_mark(bytes, index + 1, count);
            while (index < count && bytes[index] == '\\') index = penstock_json_mark(bytes, index + 2, count);
            continue;
        }
        // A brace is a bracket with one more bit.
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

#endif
