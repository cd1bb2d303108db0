// SPDX-License-Identifier: Apache-2.0
//
// A queue that answers the JSON protocol of Amazon SQS as fast as one thread can, on a loopback port of its
// own.
//
// It has --messages messages, all with the same body of --message-bytes, each with an id and a receipt
// handle of its own. ReceiveMessage gives up to ten; with none left it waits as long as it was asked to,
// and answers `{}`. DeleteMessageBatch looks at each handle, and counts each message once.
// ChangeMessageVisibilityBatch with 0 gives a message back; with more it stays invisible for good.
// GetQueueUrl and GetQueueAttributes answer, and every other operation is refused. Signatures are not
// looked at.
//
// GET /stats answers the counters: `seconds` is from the first answer with messages to the last deletion,
// `waiting` is how many receives wait now. POST /reset clears them and fills the queue. With --empty it is
// empty until then.
//
// Prints {"port": N, "url": "..."} and serves until standard input ends or SIGTERM comes.
#include "bench.h"
#include "http_message.h"
#include "sqs_message.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { EVENTS_MAX = 256, FDS_MAX = 1024, BATCH_MAX = 10, WAIT_MAX = 20, TEXT_MAX = 8192 };

struct connection {
    int fd;
    bool waits;
    int64_t asked, due_ns;  // of the receive that waits
    struct inbox inbox;
    char *unsent;
    size_t unsent_from, unsent_bytes;
};

enum state { STATE_VISIBLE, STATE_IN_FLIGHT, STATE_DELETED };

struct counters {
    int64_t receives, received, deletions, deleted, changes, connections, first_ns, last_ns, cpu_start_us;
};

static struct counters counters;
static struct connection *connections[FDS_MAX];
static struct message_page page;
static char *states;
static int64_t *given_back;
static int64_t total, never_given, given_back_count, in_flight, waiting;
static char queue_url[128];
static int epoll_fd;

// MARK: - The messages

static void fill(void) {
    memset(states, STATE_VISIBLE, (size_t)total);
    never_given = given_back_count = in_flight = 0;
    counters = (struct counters){.connections = counters.connections, .cpu_start_us = cpu_us()};
}

/// The number of a message that is in flight from now on; -1 when there is none.
static int64_t take_message(void) {
    int64_t number = given_back_count > 0      ? given_back[--given_back_count]
                     : never_given < total   ? never_given++
                                             : -1;
    if (number >= 0) {
        states[number] = STATE_IN_FLIGHT;
        in_flight++;
    }
    return number;
}

/// False when the delivery is none of ours.
static bool message_delete(int64_t number) {
    if (number < 0 || number >= total || states[number] == STATE_VISIBLE) {
        return false;
    }
    if (states[number] == STATE_IN_FLIGHT) {
        states[number] = STATE_DELETED;
        in_flight--;
        counters.deleted++;
        counters.last_ns = now_ns();
    }
    return true;
}

/// False when the delivery is none of ours.
static bool message_change(int64_t number, int64_t visibility) {
    if (number < 0 || number >= total || states[number] != STATE_IN_FLIGHT) {
        return false;
    }
    counters.changes++;
    if (visibility == 0) {
        states[number] = STATE_VISIBLE;
        in_flight--;
        given_back[given_back_count++] = number;
    }
    return true;
}

// MARK: - Answers

static void watch(int how, int fd, uint32_t events, void *context) {
    struct epoll_event event = {.events = events, .data.ptr = context};
    // Standard input may be a file or /dev/null, which epoll refuses and which never ends a run.
    if (epoll_ctl(epoll_fd, how, fd, &event) != 0 && errno != EPERM) {
        die("epoll_ctl: %s", strerror(errno));
    }
}

/// What the socket does not take now is kept and sent later.
static void send_parts(struct connection *connection, struct iovec *parts, size_t count) {
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    size_t bytes = 0;
    for (size_t index = 0; index < count; index++) {
        bytes += parts[index].iov_len;
    }
    ssize_t result = sendmsg(connection->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (result < 0 && errno != EAGAIN) {
        shutdown(connection->fd, SHUT_RDWR);
        return;
    }
    size_t sent = result > 0 ? (size_t)result : 0;
    if (sent == bytes) {
        return;
    }
    connection->unsent = malloc(bytes - sent);
    if (!connection->unsent) {
        die("out of memory for an answer");
    }
    connection->unsent_from = connection->unsent_bytes = 0;
    for (size_t index = 0; index < count; index++) {
        size_t skipped = sent < parts[index].iov_len ? sent : parts[index].iov_len;
        size_t rest = parts[index].iov_len - skipped;
        memcpy(connection->unsent + connection->unsent_bytes, (char *)parts[index].iov_base + skipped, rest);
        connection->unsent_bytes += rest;
        sent -= skipped;
    }
    watch(EPOLL_CTL_MOD, connection->fd, EPOLLOUT, connection);
}

static void send_unsent(struct connection *connection) {
    const char *from = connection->unsent + connection->unsent_from;
    size_t count = connection->unsent_bytes - connection->unsent_from;
    ssize_t sent = send(connection->fd, from, count, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN) {
        shutdown(connection->fd, SHUT_RDWR);
        count = 0;
    }
    connection->unsent_from += sent > 0 ? (size_t)sent : 0;
    if (count == 0 || connection->unsent_from == connection->unsent_bytes) {
        free(connection->unsent);
        connection->unsent = NULL;
        watch(EPOLL_CTL_MOD, connection->fd, EPOLLIN, connection);
    }
}

static size_t write_head(char *head, size_t room, const char *status, size_t body_bytes) {
    return (size_t)snprintf(
        head, room,
        "HTTP/1.1 %s\r\nx-amzn-RequestId: 7a62c49f-347e-4fc4-9331-6e8e7a96aa73\r\n"
        "Content-Type: application/x-amz-json-1.0\r\nContent-Length: %zu\r\n\r\n",
        status, body_bytes
    );
}

static void answer(struct connection *connection, const char *status, const char *body) {
    char head[256];
    size_t length = strlen(body);
    struct iovec parts[2] = {{head, write_head(head, sizeof(head), status, length)}, {(char *)body, length}};
    send_parts(connection, parts, 2);
}

static void refuse(struct connection *connection, const char *code) {
    char body[256];
    snprintf(body, sizeof(body), "{\"__type\":\"com.amazonaws.sqs#%s\",\"message\":\"refused\"}", code);
    answer(connection, "400 Bad Request", body);
}

static void answer_stats(struct connection *connection) {
    char text[512];
    double seconds = (double)(counters.last_ns - counters.first_ns) / 1e9;
    snprintf(
        text, sizeof(text),
        "{\"messages\": %lld, \"receives\": %lld, \"received\": %lld, \"deletions\": %lld, \"deleted\": %lld, "
        "\"changes\": %lld, \"waiting\": %lld, \"connections\": %lld, \"seconds\": %.6f, \"cpu_us\": %lld}\n",
        (long long)total, (long long)counters.receives, (long long)counters.received,
        (long long)counters.deletions, (long long)counters.deleted, (long long)counters.changes,
        (long long)waiting, (long long)counters.connections, counters.last_ns ? seconds : 0.0,
        (long long)(cpu_us() - counters.cpu_start_us)
    );
    answer(connection, "200 OK", text);
}

/// Answers a receive when there are messages.
static bool answer_receive(struct connection *connection, int64_t asked) {
    static const char before[] = "{\"Messages\":[", after[] = "]}";
    char head[256];
    int count = 0;
    for (int64_t number; count < asked && (number = take_message()) >= 0; count++) {
        message_page_set(&page, count, number);
    }
    if (count == 0) {
        return false;
    }
    counters.receives++;
    counters.received += count;
    counters.first_ns = counters.first_ns ? counters.first_ns : now_ns();
    size_t bytes = message_page_bytes(&page, count);
    struct iovec parts[4] = {
        {head, write_head(head, sizeof(head), "200 OK", sizeof(before) - 1 + bytes + sizeof(after) - 1)},
        {(char *)before, sizeof(before) - 1},
        {page.text, bytes},
        {(char *)after, sizeof(after) - 1},
    };
    send_parts(connection, parts, 4);
    return true;
}

static void wait_end(struct connection *connection) {
    waiting -= connection->waits;
    connection->waits = false;
}

// MARK: - Requests

static void take_receive(struct connection *connection, struct text body) {
    int64_t asked = number_member(body, "MaxNumberOfMessages", 1);
    int64_t wait = number_member(body, "WaitTimeSeconds", 0);
    if (asked < 1 || asked > BATCH_MAX || wait < 0 || wait > WAIT_MAX) {
        refuse(connection, "InvalidParameterValue");
    } else if (answer_receive(connection, asked)) {
        return;
    } else if (wait == 0) {
        counters.receives++;
        answer(connection, "200 OK", "{}");
    } else {
        connection->waits = true;
        connection->asked = asked;
        connection->due_ns = now_ns() + wait * 1000000000;
        waiting++;
    }
}

/// Carries out one entry of a batch call.
static bool entry_carry_out(struct text entry, bool deletes) {
    struct text handle = text_member(entry, "ReceiptHandle");
    int64_t number = message_page_number(&page, handle.from, (size_t)(handle.to - handle.from));
    return deletes ? message_delete(number)
                   : message_change(number, number_member(entry, "VisibilityTimeout", 30));
}

static void take_batch(struct connection *connection, struct text body, bool deletes) {
    char done[TEXT_MAX] = "", failed[TEXT_MAX] = "", text[2 * TEXT_MAX + 64];
    int done_bytes = 0, failed_bytes = 0, count = 0;
    const char *at = member(body, "Entries");
    while (at && (at = memchr(at, '{', (size_t)(body.to - at)))) {
        const char *end = memchr(at, '}', (size_t)(body.to - at));
        struct text entry = {at, end ? end : at};
        struct text id = text_member(entry, "Id");
        int id_bytes = (int)(id.to - id.from);
        if (!end || ++count > BATCH_MAX || id_bytes < 1 || id_bytes > 80) {
            refuse(connection, "InvalidBatchEntry");
            return;
        }
        if (entry_carry_out(entry, deletes)) {
            done_bytes += sprintf(done + done_bytes, ",{\"Id\":\"%.*s\"}", id_bytes, id.from);
        } else {
            failed_bytes += sprintf(
                failed + failed_bytes,
                ",{\"Id\":\"%.*s\",\"SenderFault\":true,\"Code\":\"ReceiptHandleIsInvalid\"}", id_bytes, id.from
            );
        }
        at = end;
    }
    if (count == 0) {
        refuse(connection, "EmptyBatchRequest");
        return;
    }
    counters.deletions += deletes;
    const char *successful = done_bytes ? done + 1 : "";
    snprintf(
        text, sizeof(text), "{\"Successful\":[%s]%s%s%s}", successful, failed_bytes ? ",\"Failed\":[" : "",
        failed_bytes ? failed + 1 : "", failed_bytes ? "]" : ""
    );
    answer(connection, "200 OK", text);
}

static void answer_attributes(struct connection *connection) {
    char text[512];
    snprintf(
        text, sizeof(text),
        "{\"Attributes\":{\"QueueArn\":\"arn:aws:sqs:eu-west-1:000000000000:bench\","
        "\"ApproximateNumberOfMessages\":\"%lld\",\"ApproximateNumberOfMessagesNotVisible\":\"%lld\","
        "\"VisibilityTimeout\":\"30\",\"MessageRetentionPeriod\":\"345600\","
        "\"MaximumMessageSize\":\"1048576\"}}",
        (long long)(total - never_given + given_back_count), (long long)in_flight
    );
    answer(connection, "200 OK", text);
}

static bool is_operation(const char *target, const char *name) {
    size_t length = strlen(name);
    return strncmp(target, name, length) == 0 && (target[length] == '\r' || target[length] == '\0');
}

static void take_request(struct connection *connection, const struct message *message) {
    static const char service[] = "AmazonSQS.";
    struct text body = {message->body, message->body + message->body_bytes};
    const char *target = message_header(message->head, "X-Amz-Target");
    if (strncmp(message->head, "GET /stats ", 11) == 0) {
        answer_stats(connection);
    } else if (strncmp(message->head, "POST /reset ", 12) == 0) {
        fill();
        answer(connection, "200 OK", "{}");
    } else if (!target || strncmp(target, service, sizeof(service) - 1) != 0) {
        refuse(connection, "InvalidAction");
    } else if (is_operation(target += sizeof(service) - 1, "ReceiveMessage")) {
        take_receive(connection, body);
    } else if (is_operation(target, "DeleteMessageBatch")) {
        take_batch(connection, body, true);
    } else if (is_operation(target, "ChangeMessageVisibilityBatch")) {
        take_batch(connection, body, false);
    } else if (is_operation(target, "GetQueueUrl")) {
        char text[256];
        snprintf(text, sizeof(text), "{\"QueueUrl\":\"%s\"}", queue_url);
        answer(connection, "200 OK", text);
    } else if (is_operation(target, "GetQueueAttributes")) {
        answer_attributes(connection);
    } else {
        refuse(connection, "InvalidAction");
    }
}

// MARK: - Connections

static void connection_close(struct connection *connection) {
    wait_end(connection);
    connections[connection->fd] = NULL;
    close(connection->fd);
    free(connection->unsent);
    free(connection->inbox.bytes);
    free(connection);
}

/// False when the connection must be closed.
static bool receive_input(struct connection *connection) {
    struct inbox *inbox = &connection->inbox;
    size_t room = MESSAGE_BYTES_MAX - inbox->used;
    ssize_t count = recv(connection->fd, inbox->bytes + inbox->used, room, MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
        return true;
    }
    if (count <= 0) {
        return false;
    }
    inbox->used += (size_t)count;
    inbox->bytes[inbox->used] = '\0';
    return true;
}

static void serve(struct connection *connection) {
    struct message message;
    if (connection->unsent) {
        send_unsent(connection);
    } else if (!receive_input(connection)) {
        connection_close(connection);
        return;
    }
    while (!connection->unsent && !connection->waits && message_next(&connection->inbox, &message)) {
        take_request(connection, &message);
        message_remove(&connection->inbox, &message);
    }
}

static void accept_one(int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        return;
    }
    struct connection *connection = fd < FDS_MAX ? calloc(1, sizeof(*connection)) : NULL;
    if (!connection || !(connection->inbox.bytes = malloc(MESSAGE_BYTES_MAX + 1))) {
        die("no room for a connection");
    }
    connection->fd = fd;
    connections[fd] = connection;
    counters.connections++;
    set_no_delay(fd);
    watch(EPOLL_CTL_ADD, fd, EPOLLIN, connection);
}

/// Answers receives that have waited for messages that are there now, or long enough.
static void serve_waiting(void) {
    int64_t now = waiting ? now_ns() : 0;
    for (int fd = 0; waiting && fd < FDS_MAX; fd++) {
        struct connection *connection = connections[fd];
        if (!connection || !connection->waits) {
            continue;
        }
        if (answer_receive(connection, connection->asked)) {
            wait_end(connection);
        } else if (connection->due_ns <= now) {
            counters.receives++;
            answer(connection, "200 OK", "{}");
            wait_end(connection);
        }
    }
}

/// Milliseconds until the first receive has waited long enough; -1 when none waits.
static int wait_ms(void) {
    int64_t first = INT64_MAX, now = waiting ? now_ns() : 0;
    for (int fd = 0; waiting && fd < FDS_MAX; fd++) {
        if (connections[fd] && connections[fd]->waits && connections[fd]->due_ns < first) {
            first = connections[fd]->due_ns;
        }
    }
    return waiting == 0 ? -1 : first <= now ? 0 : (int)((first - now) / 1000000 + 1);
}

static bool input_ended(void) {
    char ignored[256];
    return read(0, ignored, sizeof(ignored)) <= 0;
}

static void run(int listener, int stop_fd) {
    static int standard_input = 0;
    struct epoll_event events[EVENTS_MAX];
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    watch(EPOLL_CTL_ADD, listener, EPOLLIN, &listener);
    watch(EPOLL_CTL_ADD, stop_fd, EPOLLIN, &stop_fd);
    watch(EPOLL_CTL_ADD, standard_input, EPOLLIN, &standard_input);
    for (;;) {
        int count = epoll_wait(epoll_fd, events, EVENTS_MAX, wait_ms());
        for (int index = 0; index < count; index++) {
            void *context = events[index].data.ptr;
            if (context == &stop_fd || (context == &standard_input && input_ended())) {
                return;
            } else if (context == &listener) {
                accept_one(listener);
            } else if (context != &standard_input) {
                serve(context);
            }
        }
        serve_waiting();
    }
}

int main(int argc, char **argv) {
    int64_t message_bytes = 1024;
    bool is_empty = false;
    total = 100000;
    const struct setting settings[] = {
        {"--messages", SETTING_INTEGER, &total, "messages in the queue (100000)"},
        {"--message-bytes", SETTING_INTEGER, &message_bytes, "bytes of a body (1024)"},
        {"--empty", SETTING_FLAG, &is_empty, "begin without messages; POST /reset fills the queue"},
        {NULL, 0, NULL, NULL},
    };
    settings_read(argc, argv, settings);
    if (total < 1 || message_bytes < 1 || message_bytes > 1 << 20) {
        die("give at least one --messages, and 1 to %d --message-bytes", 1 << 20);
    }
    states = malloc((size_t)total);
    given_back = malloc((size_t)total * sizeof(*given_back));
    if (!states || !given_back) {
        die("out of memory for %lld messages", (long long)total);
    }
    message_page_make(&page, (size_t)message_bytes, BATCH_MAX);
    fill();
    if (is_empty) {
        memset(states, STATE_DELETED, (size_t)total);
        never_given = total;
    }
    int stop_fd = stop_signal_fd();
    uint16_t port = 0;
    int listener = listen_on("", &port);
    snprintf(queue_url, sizeof(queue_url), "http://127.0.0.1:%d/000000000000/bench", (int)port);
    printf("{\"port\": %d, \"url\": \"%s\"}\n", (int)port, queue_url);
    fflush(stdout);
    run(listener, stop_fd);
    return 0;
}
