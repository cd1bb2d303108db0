// SPDX-License-Identifier: Apache-2.0
//
// What every peer needs: settings from the command line, clocks, percentiles, sockets.
#ifndef PENSTOCK_BENCH_H
#define PENSTOCK_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// One `--name VALUE` of a program. `value` points at a `const char *`, an `int64_t`, a `double` or, for a
/// flag, a `bool`.
struct setting {
    const char *name;
    enum { SETTING_TEXT, SETTING_INTEGER, SETTING_REAL, SETTING_FLAG } kind;
    void *value;
    const char *meaning;
};

/// Reads the command line into `settings` (ended by an entry without a name).
/// Prints the settings and exits 0 on `--help`; exits 2 when an argument is unknown or no number.
void settings_read(int argc, char **argv, const struct setting *settings);

/// Writes one line to standard error and exits 1.
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

/// Monotonic time in nanoseconds.
int64_t now_ns(void);

/// User and system time of this process, all threads, in microseconds (getrusage).
int64_t cpu_us(void);

/// Largest resident set of this process so far, in KiB.
long max_rss_kb(void);

/// Durations to take percentiles of. Start from `{0}`.
struct samples {
    int64_t *ns;
    size_t count;
    size_t capacity;
};

void samples_add(struct samples *samples, int64_t ns);

/// The percentile in microseconds, by nearest rank; 0 when there is no sample. Sorts in place.
double samples_percentile_us(struct samples *samples, double percentile);

/// Connects to `unix:PATH`, `/PATH` or `HOST:PORT` (numeric), with TCP_NODELAY. Exits 1 on failure.
int connect_to(const char *address);

/// Listens on `unix:PATH` or `/PATH`, or on a free loopback port for an empty address; `port` is set for the
/// latter.
int listen_on(const char *address, uint16_t *port);

/// Sets TCP_NODELAY; harmless on a unix socket.
void set_no_delay(int fd);

/// Sets O_NONBLOCK.
void set_nonblocking(int fd);

/// Writes or reads exactly `count` bytes on a blocking descriptor; false at the end of the stream.
bool write_exactly(int fd, const void *bytes, size_t count);
bool read_exactly(int fd, void *bytes, size_t count);

/// A descriptor that becomes readable on SIGTERM or SIGINT. Blocks these signals; call it before any thread
/// starts.
int stop_signal_fd(void);

/// Waits until standard input ends or SIGTERM or SIGINT comes.
void wait_for_stop(int signal_fd);

/// Keeps this thread on the first or the last of the CPUs that it may use.
void stay_on_first_cpu(void);
void stay_on_last_cpu(void);

/// The whole file. Exits 1 when it cannot be read.
char *read_file(const char *path, size_t *count);

#endif
