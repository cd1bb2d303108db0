// SPDX-License-Identifier: Apache-2.0
//
// The floor of durability: write 4 KiB and fdatasync, again and again, within a preallocated file.
//
// Prints {"commits", "seconds", "commits_per_second", "cpu_us_per_commit", "p50_us", "p99_us"}.
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK = 4096, FILE_BYTES = 16 << 20 };

/// A file whose blocks are written and on disk, so that a later fdatasync has no metadata to write.
static int preallocated(char *path) {
    static const char zeros[1 << 20];
    int fd = mkstemp(path);
    if (fd < 0) {
        die("%s: %s", path, strerror(errno));
    }
    unlink(path);
    for (off_t at = 0; at < FILE_BYTES; at += (off_t)sizeof(zeros)) {
        if (pwrite(fd, zeros, sizeof(zeros), at) != (ssize_t)sizeof(zeros)) {
            die("%s: %s", path, strerror(errno));
        }
    }
    if (fsync(fd) != 0) {
        die("fsync: %s", strerror(errno));
    }
    return fd;
}

int main(int argc, char **argv) {
    const char *directory = ".";
    double seconds = 1.5;
    const struct setting settings[] = {
        {"--directory", SETTING_TEXT, &directory, "where the file is made, on the disk to measure (.)"},
        {"--seconds", SETTING_REAL, &seconds, "how long (1.5)"},
        {NULL, 0, NULL, NULL},
    };
    settings_read(argc, argv, settings);
    char path[4096], block[BLOCK];
    snprintf(path, sizeof(path), "%s/fsync-floor-XXXXXX", directory);
    int fd = preallocated(path);
    memset(block, 'x', sizeof(block));
    struct samples samples = {0};
    int64_t cpu = cpu_us(), start = now_ns(), before = start;
    off_t at = 0;
    while ((double)(before - start) < seconds * 1e9) {
        if (pwrite(fd, block, sizeof(block), at) != (ssize_t)sizeof(block) || fdatasync(fd) != 0) {
            die("%s: %s", directory, strerror(errno));
        }
        at = (at + BLOCK) % FILE_BYTES;
        int64_t after = now_ns();
        samples_add(&samples, after - before);
        before = after;
    }
    double elapsed = (double)(before - start) / 1e9, count = (double)samples.count;
    double spent = (double)(cpu_us() - cpu) / count;
    double p50 = samples_percentile_us(&samples, 50), p99 = samples_percentile_us(&samples, 99);
    printf("{\"commits\": %zu, \"seconds\": %.6f, \"commits_per_second\": %.0f, \"cpu_us_per_commit\": %.2f, "
           "\"p50_us\": %.1f, \"p99_us\": %.1f}\n",
           samples.count, elapsed, count / elapsed, spent, p50, p99);
    return 0;
}
