// SPDX-License-Identifier: Apache-2.0
//
// The ceiling of the Runtime API: the other side of runtime_worker, in C, one epoll thread. It starts its
// workers, hands an event to each `/next` and counts the answers; nothing is validated, nothing is kept.
//
// Prints {"invocations", "seconds", "invocations_per_second", "cpu_us_per_invocation", "p50_us", "p99_us"};
// the time of an invocation runs from the write of the event to the read of its answer.
#include "bench.h"
#include "http_message.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORKERS_MAX = 64, EVENTS_MAX = 64, EVENT_MAX = 1 << 20 };

extern char **environ;

struct worker {
    int fd;
    int64_t sent_ns;
    struct inbox inbox;
};

struct run {
    const char *event;
    size_t event_bytes;
    int64_t next_id, completed, total, warmup, counted_from_ns, counted_from_cpu_us;
    struct samples samples;
};

static void send_event(struct run *run, struct worker *worker) {
    static char out[EVENT_MAX + 512];
    int head = snprintf(
        out, 512,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nLambda-Runtime-Aws-Request-Id: %016llx\r\n"
        "Lambda-Runtime-Deadline-Ms: 1773478830250\r\nContent-Length: %zu\r\n\r\n",
        (unsigned long long)run->next_id++, run->event_bytes
    );
    memcpy(out + head, run->event, run->event_bytes);
    worker->sent_ns = now_ns();
    if (!write_exactly(worker->fd, out, (size_t)head + run->event_bytes)) {
        die("a worker went away");
    }
}

static void take_answer(struct run *run, struct worker *worker) {
    static const char accepted[] =
        "HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n"
        "{\"status\":\"OK\"}\n";
    run->completed++;
    if (run->completed > run->warmup) {
        samples_add(&run->samples, now_ns() - worker->sent_ns);
    } else if (run->completed == run->warmup) {
        run->counted_from_ns = now_ns();
        run->counted_from_cpu_us = cpu_us();
    }
    if (!write_exactly(worker->fd, accepted, sizeof(accepted) - 1)) {
        die("a worker went away");
    }
}

static void serve(struct run *run, struct worker *worker) {
    struct message message;
    ssize_t count = recv(worker->fd, worker->inbox.bytes + worker->inbox.used,
                         MESSAGE_BYTES_MAX - worker->inbox.used, MSG_DONTWAIT);
    if (count < 0 && errno == EAGAIN) {
        return;
    }
    if (count <= 0) {
        die("a worker went away");
    }
    worker->inbox.used += (size_t)count;
    while (message_next(&worker->inbox, &message)) {
        bool is_next = strncmp(message.head, "GET ", 4) == 0;
        message_remove(&worker->inbox, &message);
        if (!is_next) {
            take_answer(run, worker);
        } else if (run->next_id < run->total) {
            send_event(run, worker);
        }
    }
}

static pid_t start_worker(const char *program, const char *address) {
    pid_t pid;
    char *const arguments[] = {(char *)program, "--api", (char *)address, NULL};
    int error = posix_spawn(&pid, program, NULL, NULL, arguments, environ);
    if (error != 0) {
        die("%s: %s", program, strerror(error));
    }
    return pid;
}

static void print_result(struct run *run) {
    double seconds = (double)(now_ns() - run->counted_from_ns) / 1e9, counted = (double)run->samples.count;
    double cpu = (double)(cpu_us() - run->counted_from_cpu_us);
    double p50 = samples_percentile_us(&run->samples, 50), p99 = samples_percentile_us(&run->samples, 99);
    printf("{\"invocations\": %zu, \"seconds\": %.6f, \"invocations_per_second\": %.0f, "
           "\"cpu_us_per_invocation\": %.3f, \"p50_us\": %.1f, \"p99_us\": %.1f}\n",
           run->samples.count, seconds, counted / seconds, cpu / counted, p50, p99);
}

int main(int argc, char **argv) {
    const char *program = NULL, *path = "";
    int64_t workers = 4, event_bytes = 1024;
    struct run run = {.total = 50000, .warmup = 1000};
    const struct setting settings[] = {
        {"--worker", SETTING_TEXT, &program, "the worker's program"},
        {"--unix", SETTING_TEXT, &path, "path of a unix socket; without it a loopback port"},
        {"--workers", SETTING_INTEGER, &workers, "workers (4)"},
        {"--event-bytes", SETTING_INTEGER, &event_bytes, "bytes of an event (1024)"},
        {"--invocations", SETTING_INTEGER, &run.total, "invocations counted (50000)"},
        {NULL, 0, NULL, NULL},
    };
    settings_read(argc, argv, settings);
    if (!program || workers < 1 || workers > WORKERS_MAX || event_bytes < 2 || event_bytes > EVENT_MAX) {
        die("give --worker, 1 to %d --workers and --event-bytes of 2 to %d", WORKERS_MAX, EVENT_MAX);
    }
    static struct worker all[WORKERS_MAX];
    pid_t pids[WORKERS_MAX];
    char address[256], *event = malloc((size_t)event_bytes);
    uint16_t port = 0;
    int listener = listen_on(path, &port), epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    memset(event, 'x', (size_t)event_bytes);
    event[0] = event[event_bytes - 1] = '"';
    run.event = event;
    run.event_bytes = (size_t)event_bytes;
    run.total += run.warmup;
    snprintf(address, sizeof(address), "127.0.0.1:%d", (int)port);
    for (int index = 0; index < workers; index++) {
        pids[index] = start_worker(program, *path ? path : address);
        all[index].fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        all[index].inbox.bytes = malloc(MESSAGE_BYTES_MAX + 1);
        set_no_delay(all[index].fd);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &all[index]};
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, all[index].fd, &event);
    }
    while (run.completed < run.total) {
        struct epoll_event ready[EVENTS_MAX];
        int count = epoll_wait(epoll_fd, ready, EVENTS_MAX, -1);
        for (int index = 0; index < count; index++) {
            serve(&run, ready[index].data.ptr);
        }
    }
    print_result(&run);
    for (int index = 0; index < workers; index++) {
        close(all[index].fd);
        waitpid(pids[index], NULL, 0);
    }
    if (*path) {
        unlink(path);
    }
    return 0;
}
