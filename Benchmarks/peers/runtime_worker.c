// SPDX-License-Identifier: Apache-2.0
//
// The cheapest function there can be: a loop over the Lambda Runtime API on a raw socket.
//
// GET /2018-06-01/runtime/invocation/next, then POST …/REQUEST-ID/response with `{}`, each with one write, on
// one connection. The address is --api or AWS_LAMBDA_RUNTIME_API: `HOST:PORT`, `unix:PATH` or `/PATH`. Exits
// 0 when the other side closes.
#include "bench.h"
#include "http_message.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { REQUEST_ID_MAX = 128 };

static const char next_request[] =
    "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: runtime\r\n\r\n";

/// Waits for a whole answer; false when the other side has closed.
static bool receive(int fd, struct inbox *inbox, struct message *message) {
    while (!message_next(inbox, message)) {
        if (inbox->used == MESSAGE_BYTES_MAX) {
            die("the answer is larger than %d bytes", MESSAGE_BYTES_MAX);
        }
        ssize_t count = read(fd, inbox->bytes + inbox->used, MESSAGE_BYTES_MAX - inbox->used);
        if (count <= 0) {
            return false;
        }
        inbox->used += (size_t)count;
    }
    return true;
}

static void expect_status(const struct message *message, const char *status) {
    if (strncmp(message->head, "HTTP/1.1 ", 9) != 0 || strncmp(message->head + 9, status, 3) != 0) {
        die("expected status %s: %.60s", status, message->head);
    }
    if (message_header(message->head, "Transfer-Encoding")) {
        die("chunked answers are not understood");
    }
}

static bool invoke_once(int fd, struct inbox *inbox) {
    struct message message;
    char answer[512];
    if (!write_exactly(fd, next_request, sizeof(next_request) - 1) || !receive(fd, inbox, &message)) {
        return false;
    }
    expect_status(&message, "200");
    const char *id = message_header(message.head, "Lambda-Runtime-Aws-Request-Id");
    size_t id_length = id ? strcspn(id, "\r\n") : 0;
    if (id_length == 0 || id_length > REQUEST_ID_MAX) {
        die("no request id in the answer to /next");
    }
    int length = snprintf(
        answer, sizeof(answer),
        "POST /2018-06-01/runtime/invocation/%.*s/response HTTP/1.1\r\nHost: runtime\r\n"
        "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
        (int)id_length, id
    );
    message_remove(inbox, &message);
    if (!write_exactly(fd, answer, (size_t)length) || !receive(fd, inbox, &message)) {
        return false;
    }
    expect_status(&message, "202");
    message_remove(inbox, &message);
    return true;
}

int main(int argc, char **argv) {
    const char *api = getenv("AWS_LAMBDA_RUNTIME_API");
    const struct setting settings[] = {
        {"--api", SETTING_TEXT, &api, "HOST:PORT, unix:PATH or /PATH (AWS_LAMBDA_RUNTIME_API)"},
        {NULL, 0, NULL, NULL},
    };
    settings_read(argc, argv, settings);
    struct inbox inbox = {.bytes = malloc(MESSAGE_BYTES_MAX + 1)};
    if (!api || !inbox.bytes) {
        die("give --api or AWS_LAMBDA_RUNTIME_API");
    }
    int fd = connect_to(api);
    while (invoke_once(fd, &inbox)) {
    }
    return 0;
}
