// SPDX-License-Identifier: Apache-2.0
//
// What a server reads of a request's JSON: members by name, wherever they are, and no string with escapes.
#ifndef PENSTOCK_BENCH_JSON_MEMBER_H
#define PENSTOCK_BENCH_JSON_MEMBER_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/// A piece of a request's body.
struct text {
    const char *from, *to;
};

/// Behind `"name":` and blanks; NULL when nothing is there.
static inline const char *member(struct text text, const char *name) {
    char key[64];
    int length = snprintf(key, sizeof(key), "\"%s\"", name);
    const char *value = memmem(text.from, (size_t)(text.to - text.from), key, (size_t)length);
    value = value ? value + length + strspn(value + length, ": ") : NULL;
    return value && value < text.to ? value : NULL;
}

static inline int64_t number_member(struct text text, const char *name, int64_t otherwise) {
    const char *value = member(text, name);
    return value ? strtoll(value, NULL, 10) : otherwise;
}

/// A string without escapes; empty when it is not there.
static inline struct text text_member(struct text text, const char *name) {
    const char *value = member(text, name);
    const char *end = value && *value == '"' ? memchr(value + 1, '"', (size_t)(text.to - value - 1)) : NULL;
    return end ? (struct text){value + 1, end} : (struct text){text.from, text.from};
}

#endif
