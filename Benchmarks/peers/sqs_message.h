// SPDX-License-Identifier: Apache-2.0
//
// The messages of an answer to ReceiveMessage, written once: only the numbers in their ids and receipt
// handles change.
#ifndef PENSTOCK_BENCH_SQS_MESSAGE_H
#define PENSTOCK_BENCH_SQS_MESSAGE_H

#include "bench.h"
#include "json_member.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/// A receipt handle is `AQEB`, sixteen hexadecimal digits, and what is the same in all.
enum { HANDLE_BYTES = 344, HANDLE_NUMBER = 4, HANDLE_REST = 20, DIGEST_BYTES = 16 };

static const char HEXADECIMAL[] = "0123456789abcdef";

/// Messages side by side, with a comma behind each.
struct message_page {
    char *text;
    size_t slot_bytes, id_at, handle_at;
    char handle[HANDLE_BYTES + 1];
};

static inline uint32_t rotated(uint32_t value, int bits) {
    return value << bits | value >> (32 - bits);
}

/// MD5 (RFC 1321) as hexadecimal digits.
static inline void md5_text(const char *bytes, size_t count, char text[2 * DIGEST_BYTES + 1]) {
    static const int shifts[4][4] = {{7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}};
    uint32_t state[4] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};
    size_t padded = (count + 8) / 64 * 64 + 64;
    unsigned char *input = calloc(1, padded);
    if (!input) {
        die("out of memory for a digest");
    }
    memcpy(input, bytes, count);
    input[count] = 0x80;
    for (int index = 0; index < 8; index++) {
        input[padded - 8 + (size_t)index] = (unsigned char)((uint64_t)count * 8 >> (8 * index));
    }
    for (size_t block = 0; block < padded; block += 64) {
        uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
        for (int step = 0; step < 64; step++) {
            int round = step / 16;
            uint32_t mixed = round == 0   ? (b & c) | (~b & d)
                             : round == 1 ? (d & b) | (~d & c)
                             : round == 2 ? b ^ c ^ d
                                          : c ^ (b | ~d);
            int place = round == 0 ? step : round == 1 ? 5 * step + 1 : round == 2 ? 3 * step + 5 : 7 * step;
            const unsigned char *word = input + block + (size_t)(place % 16) * 4;
            uint32_t value = (uint32_t)word[0] | (uint32_t)word[1] << 8 | (uint32_t)word[2] << 16
                             | (uint32_t)word[3] << 24;
            uint32_t constant = (uint32_t)(int64_t)(fabs(sin(step + 1)) * 4294967296.0);
            uint32_t turned = rotated(a + mixed + constant + value, shifts[round][step % 4]);
            a = d, d = c, c = b, b += turned;
        }
        state[0] += a, state[1] += b, state[2] += c, state[3] += d;
    }
    free(input);
    for (int index = 0; index < DIGEST_BYTES; index++) {
        sprintf(text + 2 * index, "%02x", state[index / 4] >> (8 * (index % 4)) & 0xff);
    }
}

/// A body of so many bytes: an order in JSON where there is room for it.
static inline char *message_body(size_t count) {
    static const char before[] = "{\"id\":\"order-7301\",\"status\":\"paid\",\"total\":120.5,\"note\":\"";
    static const char after[] = "\"}";
    char *body = malloc(count + 1);
    if (!body) {
        die("out of memory for a body");
    }
    memset(body, 'x', count);
    body[count] = '\0';
    if (count >= sizeof(before) + sizeof(after)) {
        memcpy(body, before, sizeof(before) - 1);
        memcpy(body + count - sizeof(after) + 1, after, sizeof(after) - 1);
    }
    return body;
}

/// Prepares `slots` messages.
static inline void message_page_make(struct message_page *page, size_t body_bytes, int slots) {
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char digest[2 * DIGEST_BYTES + 1], *body = message_body(body_bytes), *escaped = malloc(2 * body_bytes + 1);
    char *slot = malloc(2 * body_bytes + 1024);
    if (!escaped || !slot) {
        die("out of memory for a message");
    }
    md5_text(body, body_bytes, digest);
    char *end = escaped;
    for (const char *byte = body; *byte; byte++) {
        if (*byte == '"') {
            *end++ = '\\';
        }
        *end++ = *byte;
    }
    *end = '\0';
    memcpy(page->handle, "AQEB0000000000000000", HANDLE_REST);
    for (int index = HANDLE_REST; index < HANDLE_BYTES; index++) {
        page->handle[index] = index < HANDLE_BYTES - 2 ? alphabet[(index * 37 + index / 7) % 64] : '=';
    }
    page->handle[HANDLE_BYTES] = '\0';
    page->slot_bytes = (size_t)sprintf(
        slot,
        "{\"MessageId\":\"00000000-0000-4b7d-9a41-000000000000\",\"ReceiptHandle\":\"%s\",\"MD5OfBody\":\"%s\","
        "\"Body\":\"%s\",\"Attributes\":{\"SenderId\":\"AIDAIENQZJOLO23YVJ4VO\","
        "\"ApproximateFirstReceiveTimestamp\":\"1773478805131\",\"ApproximateReceiveCount\":\"1\","
        "\"SentTimestamp\":\"1773478805120\"}},",
        page->handle, digest, escaped
    );
    page->id_at = strlen("{\"MessageId\":\"");
    page->handle_at = (size_t)(strstr(slot, page->handle) - slot);
    page->text = malloc(page->slot_bytes * (size_t)slots);
    if (!page->text) {
        die("out of memory for %d messages", slots);
    }
    for (int index = 0; index < slots; index++) {
        memcpy(page->text + page->slot_bytes * (size_t)index, slot, page->slot_bytes);
    }
    free(slot);
    free(escaped);
    free(body);
}

static inline void write_digits(char *text, uint64_t value, int count) {
    for (int index = count - 1; index >= 0; index--, value >>= 4) {
        text[index] = HEXADECIMAL[value & 15];
    }
}

/// Makes a slot the message of this number: its id begins like a random one, and ends in the number.
static inline void message_page_set(struct message_page *page, int slot, int64_t number) {
    char *text = page->text + page->slot_bytes * (size_t)slot, *id = text + page->id_at;
    uint64_t mixed = (uint64_t)number * 0x9e3779b97f4a7c15;
    write_digits(id, mixed >> 32, 8);
    write_digits(id + 9, mixed >> 16, 4);
    write_digits(id + 24, (uint64_t)number, 12);
    write_digits(text + page->handle_at + HANDLE_NUMBER, (uint64_t)number, HANDLE_REST - HANDLE_NUMBER);
}

/// Bytes of the first `count` messages, without the last comma.
static inline size_t message_page_bytes(const struct message_page *page, int count) {
    return page->slot_bytes * (size_t)count - 1;
}

/// The number of the message whose receipt handle this is; -1 when it is none.
static inline int64_t message_page_number(const struct message_page *page, const char *handle, size_t bytes) {
    size_t rest = HANDLE_BYTES - HANDLE_REST;
    bool is_handle = bytes == HANDLE_BYTES && memcmp(handle, page->handle, HANDLE_NUMBER) == 0
                     && memcmp(handle + HANDLE_REST, page->handle + HANDLE_REST, rest) == 0;
    uint64_t number = 0;
    for (int index = HANDLE_NUMBER; is_handle && index < HANDLE_REST; index++) {
        const char *digit = memchr(HEXADECIMAL, handle[index], 16);
        is_handle = digit != NULL;
        number = number << 4 | (uint64_t)(digit ? digit - HEXADECIMAL : 0);
    }
    return is_handle ? (int64_t)number : -1;
}

#endif
