// SPDX-License-Identifier: Apache-2.0

// What Penstock uses of simdjson (Debian: libsimdjson-dev), in C: where a JSON text's structure is, whether bytes are
// UTF-8, and what number a text is. Nothing throws, nothing keeps a pointer to the text.

#ifndef CSIMDJSON_H
#define CSIMDJSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Working memory for one text at a time; used by one thread at a time.
typedef struct csimdjson_parser csimdjson_parser;

// NULL when there is no memory.
csimdjson_parser *csimdjson_parser_make(void);
void csimdjson_parser_free(csimdjson_parser *parser);

// The longest text for which there is memory now, four bytes for each of its bytes; at most 1 MiB after a text that is
// no longer than that.
size_t csimdjson_capacity(const csimdjson_parser *parser);

// Finds the places of { } [ ] : , and of the first byte of each string, number and word, in order; returns how many.
// 0 when the text cannot be JSON: it is empty, not UTF-8, has a string that does not end or a control character in one,
// is longer than 2 GiB, or there is no memory for it. Behind the places stand two more that are `count`.
// They are valid until the next call.
size_t csimdjson_index(csimdjson_parser *parser, const uint8_t *text, size_t count, const uint32_t **places);

bool csimdjson_is_utf8(const uint8_t *text, size_t count);

// The double nearest to a decimal number in JSON's form; false when it is none, or too large for a double.
bool csimdjson_double(const uint8_t *text, size_t count, double *number);

#ifdef __cplusplus
}
#endif

#endif
