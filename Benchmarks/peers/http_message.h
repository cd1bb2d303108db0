// SPDX-License-Identifier: Apache-2.0
//
// One HTTP/1.1 message at a time from a socket: as much of the protocol as the Runtime API needs. Chunked
// bodies are not understood.
#ifndef PENSTOCK_BENCH_HTTP_MESSAGE_H
#define PENSTOCK_BENCH_HTTP_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MESSAGE_BYTES_MAX = 8 << 20 };

/// What has been received and not yet been taken. `bytes` has room for MESSAGE_BYTES_MAX and a NUL.
struct inbox {
    char *bytes;
    size_t used;
};

/// A whole message at the start of an inbox. `head` is NUL-terminated and without its empty line.
struct message {
    const char *head, *body;
    size_t head_bytes, body_bytes;
};

/// The text after `name:` and blanks in a head; NULL when there is no such header.
static inline const char *message_header(const char *head, const char *name) {
    size_t length = strlen(name);
    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line + 2, "\r\n")) {
        if (strncasecmp(line + 2, name, length) == 0 && line[2 + length] == ':') {
            return line + 3 + length + strspn(line + 3 + length, " \t");
        }
    }
    return NULL;
}

/// True when a whole message has come. It is valid until `message_remove`.
static inline bool message_next(struct inbox *inbox, struct message *message) {
    char *end = memmem(inbox->bytes, inbox->used, "\r\n\r\n", 4);
    if (!end) {
        return false;
    }
    *end = '\0';
    const char *length = message_header(inbox->bytes, "Content-Length");
    size_t head_bytes = (size_t)(end + 4 - inbox->bytes), body_bytes = length ? strtoul(length, NULL, 10) : 0;
    *message = (struct message){inbox->bytes, end + 4, head_bytes, body_bytes};
    if (inbox->used - head_bytes < body_bytes) {
        *end = '\r';
        return false;
    }
    return true;
}

static inline void message_remove(struct inbox *inbox, const struct message *message) {
    size_t taken = message->head_bytes + message->body_bytes;
    inbox->used -= taken;
    memmove(inbox->bytes, inbox->bytes + taken, inbox->used);
}

#endif
