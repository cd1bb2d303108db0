// SPDX-License-Identifier: Apache-2.0
//
// The far end: a single-threaded HTTP/1.1 sink on a loopback port of its own.
//
// POST of any path: the body is counted and dropped, the answer is 200 `{}` (or --answer, or --answer-file),
// after --delay-us when one is given. GET /stats answers the counters, POST /reset clears them, SIGUSR1
// prints them. With --needle the bodies are scanned and its occurrences are counted: `"offset":` counts the
// records of a Kafka event where they arrive. Bodies need a Content-Length of at most 16 MiB.
//
// Prints {"port": N} and serves until standard input ends or SIGTERM comes.
#include "bench.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEAD_MAX = 8192, INPUT_MAX = 256 * 1024, NEEDLE_MAX = 64, EVENTS_MAX = 256, BODY_MAX = 16 << 20 };

enum route { ROUTE_RECORD, ROUTE_STATS, ROUTE_RESET };

struct connection {
    int fd;
    bool closed, in_body;
    uint32_t owed;
    enum route route;
    int64_t body_left;
    size_t head_used, carry_used;
    char head[HEAD_MAX], carry[NEEDLE_MAX];
};

struct counters {
    int64_t requests, body_bytes, needles, connections, first_ns, last_ns, cpu_start_us;
};

/// Answers that wait for their time. The delay is constant, so they are due in the order they came.
struct delayed {
    struct connection *connection;
    int64_t due_ns;
    struct delayed *next;
};

static struct counters counters;
static struct delayed *delayed_first, *delayed_last;
static const char *needle;
static size_t needle_length, answer_length;
static char *answer;
static int64_t delay_us;
static bool on_last_cpu;
static int epoll_fd;

static void connection_close(struct connection *connection) {
    if (!connection->closed) {
        connection->closed = true;
        close(connection->fd);
    }
    if (connection->owed == 0) {
        free(connection);
    }
}

/// A client that does not read its small answers is cut off.
static void send_answer(struct connection *connection, const char *bytes, size_t count) {
    if (!connection->closed && send(connection->fd, bytes, count, MSG_NOSIGNAL) != (ssize_t)count) {
        shutdown(connection->fd, SHUT_RDWR);
    }
}

static char *http_answer(const char *body, size_t body_length, size_t *length) {
    char head[128];
    int head_length = snprintf(
        head, sizeof(head),
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n", body_length
    );
    char *bytes = malloc((size_t)head_length + body_length);
    if (!bytes) {
        die("out of memory for an answer");
    }
    memcpy(bytes, head, (size_t)head_length);
    memcpy(bytes + head_length, body, body_length);
    *length = (size_t)head_length + body_length;
    return bytes;
}

static int stats_json(char *text, size_t size) {
    double seconds = (double)(counters.last_ns - counters.first_ns) / 1e9;
    return snprintf(
        text, size,
        "{\"requests\": %lld, \"body_bytes\": %lld, \"records\": %lld, \"connections\": %lld, "
        "\"seconds\": %.6f, \"cpu_us\": %lld}\n",
        (long long)counters.requests, (long long)counters.body_bytes, (long long)counters.needles,
        (long long)counters.connections, seconds, (long long)(cpu_us() - counters.cpu_start_us)
    );
}

static void send_stats(struct connection *connection) {
    char text[512];
    size_t length;
    int text_length = stats_json(text, sizeof(text));
    char *bytes = http_answer(text, (size_t)text_length, &length);
    send_answer(connection, bytes, length);
    free(bytes);
}

static void send_later(struct connection *connection) {
    struct delayed *entry = malloc(sizeof(*entry));
    if (!entry) {
        die("out of memory for a delayed answer");
    }
    *entry = (struct delayed){.connection = connection, .due_ns = now_ns() + delay_us * 1000};
    connection->owed++;
    if (delayed_last) {
        delayed_last->next = entry;
    } else {
        delayed_first = entry;
    }
    delayed_last = entry;
}

static void send_due(void) {
    int64_t now = delayed_first ? now_ns() : 0;
    while (delayed_first && delayed_first->due_ns <= now) {
        struct delayed *entry = delayed_first;
        struct connection *connection = entry->connection;
        delayed_first = entry->next;
        if (!delayed_first) {
            delayed_last = NULL;
        }
        free(entry);
        send_answer(connection, answer, answer_length);
        connection->owed--;
        if (connection->closed) {
            connection_close(connection);
        }
    }
}

static void request_complete(struct connection *connection) {
    connection->in_body = false;
    connection->carry_used = 0;
    switch (connection->route) {
    case ROUTE_STATS:
        send_stats(connection);
        return;
    case ROUTE_RESET:
        counters = (struct counters){.cpu_start_us = cpu_us()};
        send_answer(connection, answer, answer_length);
        return;
    case ROUTE_RECORD:
        counters.last_ns = now_ns();
        counters.requests++;
        if (delay_us > 0) {
            send_later(connection);
        } else {
            send_answer(connection, answer, answer_length);
        }
    }
}

/// The value of a header within a head that ends in an empty line and a NUL; NULL when it is not there.
static const char *header_value(const char *head, const char *name) {
    size_t length = strlen(name);
    for (const char *line = strstr(head, "\r\n"); line && line[2] != '\r'; line = strstr(line + 2, "\r\n")) {
        if (strncasecmp(line + 2, name, length) == 0 && line[2 + length] == ':') {
            return line + 3 + length;
        }
    }
    return NULL;
}

/// False when the request is none that this sink understands.
static bool head_complete(struct connection *connection) {
    const char *head = connection->head;
    const char *length = header_value(head, "Content-Length");
    const char *expect = header_value(head, "Expect");
    connection->route = strncmp(head, "GET /stats ", 11) == 0   ? ROUTE_STATS
                        : strncmp(head, "POST /reset ", 12) == 0 ? ROUTE_RESET
                                                                 : ROUTE_RECORD;
    connection->body_left = length ? strtoll(length, NULL, 10) : 0;
    bool length_fits = connection->body_left >= 0 && connection->body_left <= BODY_MAX;
    if (header_value(head, "Transfer-Encoding") || !length_fits) {
        return false;
    }
    if (connection->route == ROUTE_RECORD) {
        if (strncmp(head, "POST ", 5) != 0) {
            return false;
        }
        if (counters.requests == 0 && counters.first_ns == 0) {
            counters.first_ns = now_ns();
        }
        counters.body_bytes += connection->body_left;
    }
    if (expect) {
        static const char proceed[] = "HTTP/1.1 100 Continue\r\n\r\n";
        send_answer(connection, proceed, sizeof(proceed) - 1);
    }
    connection->in_body = true;
    return true;
}

/// Takes bytes of a head; the number taken, or -1 when the head is too long or wrong.
static ssize_t take_head(struct connection *connection, const char *bytes, size_t count) {
    size_t room = HEAD_MAX - 1 - connection->head_used;
    size_t taken = count < room ? count : room;
    size_t from = connection->head_used > 3 ? connection->head_used - 3 : 0;
    memcpy(connection->head + connection->head_used, bytes, taken);
    char *end = memmem(connection->head + from, connection->head_used + taken - from, "\r\n\r\n", 4);
    if (!end) {
        connection->head_used += taken;
        return taken < count ? -1 : (ssize_t)taken;
    }
    end[4] = '\0';
    size_t before = connection->head_used;
    connection->head_used = 0;
    return head_complete(connection) ? end + 4 - connection->head - (ssize_t)before : -1;
}

/// Counts the needle in a piece of a body. There are NEEDLE_MAX bytes before `bytes` that may be overwritten,
/// so what is carried over from the last piece is put there: a needle across two pieces is found once.
static void count_needles(struct connection *connection, char *bytes, size_t count) {
    char *start = bytes - connection->carry_used, *end = bytes + count;
    memcpy(start, connection->carry, connection->carry_used);
    char *at = start;
    while ((at = memmem(at, (size_t)(end - at), needle, needle_length))) {
        counters.needles++;
        at += needle_length;
    }
    size_t keep = (size_t)(end - start) < needle_length - 1 ? (size_t)(end - start) : needle_length - 1;
    memcpy(connection->carry, end - keep, keep);
    connection->carry_used = keep;
}

/// False when the connection must be closed.
static bool take(struct connection *connection, char *bytes, size_t count) {
    while (count > 0 || (connection->in_body && connection->body_left == 0)) {
        size_t taken;
        if (connection->in_body) {
            taken = (int64_t)count < connection->body_left ? count : (size_t)connection->body_left;
            if (needle_length > 0 && taken > 0 && connection->route == ROUTE_RECORD) {
                count_needles(connection, bytes, taken);
            }
            connection->body_left -= (int64_t)taken;
            if (connection->body_left == 0) {
                request_complete(connection);
            }
        } else {
            ssize_t head = take_head(connection, bytes, count);
            if (head < 0) {
                return false;
            }
            taken = (size_t)head;
        }
        bytes += taken;
        count -= taken;
    }
    return true;
}

static void serve(struct connection *connection) {
    static char input[NEEDLE_MAX + INPUT_MAX];
    ssize_t count = recv(connection->fd, input + NEEDLE_MAX, INPUT_MAX, MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (count <= 0 || !take(connection, input + NEEDLE_MAX, (size_t)count)) {
        connection_close(connection);
    }
}

static void watch(int fd, void *context) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = context};
    // Standard input may be a file or /dev/null, which epoll refuses and which never ends a run.
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0 && errno != EPERM) {
        die("epoll_ctl: %s", strerror(errno));
    }
}

static void accept_one(int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        return;
    }
    struct connection *connection = calloc(1, sizeof(*connection));
    if (!connection) {
        die("out of memory for a connection");
    }
    connection->fd = fd;
    counters.connections++;
    set_no_delay(fd);
    watch(fd, connection);
}

static int wait_for_events(struct epoll_event *events) {
    if (!delayed_first) {
        return epoll_wait(epoll_fd, events, EVENTS_MAX, -1);
    }
    int64_t left = delayed_first->due_ns - now_ns();
    left = left > 0 ? left : 0;
    struct timespec timeout = {.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};
    return epoll_pwait2(epoll_fd, events, EVENTS_MAX, &timeout, NULL);
}

static int stats_signal_fd(void) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGUSR1);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    return signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void print_stats(int signal_fd) {
    struct signalfd_siginfo ignored;
    char text[512];
    (void)!read(signal_fd, &ignored, sizeof(ignored));
    stats_json(text, sizeof(text));
    fputs(text, stdout);
    fflush(stdout);
}

static bool input_ended(void) {
    char ignored[256];
    return read(0, ignored, sizeof(ignored)) <= 0;
}

static void run(int listener, int stop_fd, int stats_fd) {
    static int standard_input = 0;
    struct epoll_event events[EVENTS_MAX];
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    watch(listener, &listener);
    watch(stop_fd, &stop_fd);
    watch(stats_fd, &stats_fd);
    watch(standard_input, &standard_input);
    for (;;) {
        int count = wait_for_events(events);
        for (int index = 0; index < count; index++) {
            void *context = events[index].data.ptr;
            if (context == &stop_fd || (context == &standard_input && input_ended())) {
                return;
            } else if (context == &listener) {
                accept_one(listener);
            } else if (context == &stats_fd) {
                print_stats(stats_fd);
            } else if (context != &standard_input) {
                serve(context);
            }
        }
        send_due();
    }
}

int main(int argc, char **argv) {
    const char *body = "{}", *body_file = NULL, *address = "";
    const struct setting settings[] = {
        {"--listen", SETTING_TEXT, &address, "unix:PATH; without it a free loopback port is taken"},
        {"--answer", SETTING_TEXT, &body, "body of the answers ({})"},
        {"--answer-file", SETTING_TEXT, &body_file, "file with the body of the answers"},
        {"--delay-us", SETTING_INTEGER, &delay_us, "microseconds before an answer (0)"},
        {"--on-last-cpu", SETTING_FLAG, &on_last_cpu, "stay on the last CPU"},
        {"--needle", SETTING_TEXT, &needle, "text to count in the bodies, up to 64 bytes"},
        {NULL, 0, NULL, NULL},
    };
    settings_read(argc, argv, settings);
    needle_length = needle ? strlen(needle) : 0;
    if (needle_length > NEEDLE_MAX) {
        die("--needle is longer than %d bytes", NEEDLE_MAX);
    }
    size_t body_length = strlen(body);
    const char *bytes = body_file ? read_file(body_file, &body_length) : body;
    answer = http_answer(bytes, body_length, &answer_length);
    if (on_last_cpu) {
        stay_on_last_cpu();
    }
    int stop_fd = stop_signal_fd(), stats_fd = stats_signal_fd();
    uint16_t port = 0;
    int listener = listen_on(address, &port);
    printf("{\"port\": %d}\n", (int)port);
    fflush(stdout);
    run(listener, stop_fd, stats_fd);
    return 0;
}
