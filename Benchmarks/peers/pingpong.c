// SPDX-License-Identifier: Apache-2.0
//
// The floor of a round trip between two processes: blocking write and read, nothing else, over a socket pair
// of the kind asked for. By default as many bytes as one invocation of a 1 KiB event moves: the event with
// its head down, an answer with its head up.
//
// The two stay on different CPUs where there are two: left alone the scheduler puts them on one or on two as it
// likes, and the round trip changes fivefold with it.
//
// Prints {"round_trips", "p50_us", "p99_us", "cpu_us_per_round_trip"} (CPU of the asking side).
#include "bench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static _Noreturn void answer(int fd, char *buffer, size_t down, size_t up) {
    while (read_exactly(fd, buffer, down) && write_exactly(fd, buffer, up)) {
    }
    _exit(0);
}

int main(int argc, char **argv) {
    bool tcp = false;
    const char *path = NULL;
    int64_t trips = 50000, warmup = 1000, down = 1024 + 300, up = 200;
    const struct setting settings[] = {
        {"--tcp", SETTING_FLAG, &tcp, "over loopback TCP"},
        {"--unix", SETTING_TEXT, &path, "over a unix socket at this path"},
        {"--round-trips", SETTING_INTEGER, &trips, "round trips counted (50000)"},
        {"--down-bytes", SETTING_INTEGER, &down, "bytes of a question (1324)"},
        {"--up-bytes", SETTING_INTEGER, &up, "bytes of an answer (200)"},
        {NULL, 0, NULL, NULL},
    };
    settings_read(argc, argv, settings);
    if (tcp == (path != NULL) || trips < 1 || down < 1 || up < 1) {
        die("give either --tcp or --unix PATH, and positive counts");
    }
    uint16_t port = 0;
    char address[128];
    int listener = listen_on(tcp ? "" : path, &port);
    char *buffer = calloc(1, (size_t)(down > up ? down : up));
    if (tcp) {
        snprintf(address, sizeof(address), "127.0.0.1:%d", (int)port);
    } else {
        snprintf(address, sizeof(address), "%s", path);
    }
    pid_t child = fork();
    if (child < 0) {
        die("fork: %s", strerror(errno));
    } else if (child == 0) {
        stay_on_last_cpu();
        answer(connect_to(address), buffer, (size_t)down, (size_t)up);
    }
    stay_on_first_cpu();
    int fd = accept(listener, NULL, NULL);
    struct samples samples = {0};
    int64_t cpu = 0;
    set_no_delay(fd);
    for (int64_t index = -warmup; index < trips; index++) {
        int64_t start = now_ns();
        if (index == 0) {
            cpu = cpu_us();
        }
        if (!write_exactly(fd, buffer, (size_t)down) || !read_exactly(fd, buffer, (size_t)up)) {
            die("the other side ended");
        }
        if (index >= 0) {
            samples_add(&samples, now_ns() - start);
        }
    }
    double spent = (double)(cpu_us() - cpu) / (double)trips;
    close(fd);
    waitpid(child, NULL, 0);
    if (path) {
        unlink(path);
    }
    double p50 = samples_percentile_us(&samples, 50), p99 = samples_percentile_us(&samples, 99);
    printf("{\"round_trips\": %lld, \"p50_us\": %.1f, \"p99_us\": %.1f, \"cpu_us_per_round_trip\": %.3f}\n",
           (long long)trips, p50, p99, spent);
    return 0;
}
