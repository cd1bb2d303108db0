// SPDX-License-Identifier: Apache-2.0

#include "CSimdjson.h"

#include <algorithm>
#include <charconv>
#include <memory>
#include <new>
#include <simdjson.h>
#include <system_error>

// Stage 1 alone, chosen for the processor at run time: it finds the structure, and checks UTF-8 and the ends of strings.
// simdjson's own second stages either build a tree or walk lazily from C++; Penstock walks in Swift, so that a record
// costs one call, not one for each field.

struct csimdjson_parser {
    std::unique_ptr<simdjson::internal::dom_parser_implementation> implementation;
};

namespace {
constexpr size_t longest = size_t(1) << 31;
constexpr size_t smallest = 4096;
constexpr size_t kept = size_t(1) << 20;
constexpr size_t depth = 1;
}

csimdjson_parser *csimdjson_parser_make(void) {
    auto *parser = new (std::nothrow) csimdjson_parser;
    if (parser == nullptr) { return nullptr; }
    auto error = simdjson::get_active_implementation()->create_dom_parser_implementation(
        smallest, depth, parser->implementation);
    if (error != simdjson::SUCCESS) {
        delete parser;
        return nullptr;
    }
    return parser;
}

size_t csimdjson_capacity(const csimdjson_parser *parser) { return parser->implementation->capacity(); }

void csimdjson_parser_free(csimdjson_parser *parser) { delete parser; }

size_t csimdjson_index(csimdjson_parser *parser, const uint8_t *text, size_t count, const uint32_t **places) {
    auto &implementation = *parser->implementation;
    if (count == 0 || count > longest) { return 0; }
    // What a text of unusual length needed is given back with the next one.
    bool isTooLarge = implementation.capacity() > kept && count <= kept;
    if (count > implementation.capacity() || isTooLarge) {
        // It is 0 after an allocation failed.
        size_t capacity = isTooLarge ? smallest : std::max(implementation.capacity(), smallest);
        while (capacity < count) { capacity *= 2; }
        if (implementation.allocate(capacity, depth) != simdjson::SUCCESS) { return 0; }
    }
    if (implementation.stage1(text, count, simdjson::stage1_mode::regular) != simdjson::SUCCESS) { return 0; }
    *places = implementation.structural_indexes.get();
    return implementation.n_structural_indexes;
}

bool csimdjson_is_utf8(const uint8_t *text, size_t count) {
    return simdjson::validate_utf8(reinterpret_cast<const char *>(text), count);
}

bool csimdjson_double(const uint8_t *text, size_t count, double *number) {
    const char *first = reinterpret_cast<const char *>(text);
    auto [end, error] = std::from_chars(first, first + count, *number);
    return error == std::errc() && end == first + count;
}
