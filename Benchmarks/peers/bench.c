// SPDX-License-Identifier: Apache-2.0
#include "bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

_Noreturn void die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(1);
}

static _Noreturn void refuse(const char *program, const char *what, const char *argument) {
    fprintf(stderr, "%s: %s: %s (see --help)\n", program, what, argument);
    exit(2);
}

static void print_settings(const char *program, const struct setting *settings) {
    printf("usage: %s", program);
    for (const struct setting *one = settings; one->name; one++) {
        printf(one->kind == SETTING_FLAG ? " [%s]" : " [%s VALUE]", one->name);
    }
    printf("\n");
    for (const struct setting *one = settings; one->name; one++) {
        printf("  %-18s %s\n", one->name, one->meaning);
    }
}

static void setting_store(const char *program, const struct setting *setting, const char *text) {
    char *end = NULL;
    errno = 0;
    switch (setting->kind) {
    case SETTING_TEXT:
        *(const char **)setting->value = text;
        return;
    case SETTING_INTEGER:
        *(int64_t *)setting->value = strtoll(text, &end, 10);
        break;
    case SETTING_REAL:
        *(double *)setting->value = strtod(text, &end);
        break;
    case SETTING_FLAG:
        return;
    }
    if (errno != 0 || end == text || *end != '\0') {
        refuse(program, "not a number", text);
    }
}

static const struct setting *setting_named(const struct setting *settings, const char *name) {
    for (const struct setting *one = settings; one->name; one++) {
        if (strcmp(one->name, name) == 0) {
            return one;
        }
    }
    return NULL;
}

void settings_read(int argc, char **argv, const struct setting *settings) {
    for (int index = 1; index < argc; index++) {
        if (strcmp(argv[index], "--help") == 0) {
            print_settings(argv[0], settings);
            exit(0);
        }
        const struct setting *setting = setting_named(settings, argv[index]);
        if (!setting) {
            refuse(argv[0], "unknown argument", argv[index]);
        }
        if (setting->kind == SETTING_FLAG) {
            *(bool *)setting->value = true;
        } else if (index + 1 == argc) {
            refuse(argv[0], "value missing", argv[index]);
        } else {
            setting_store(argv[0], setting, argv[++index]);
        }
    }
}

int64_t now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static int64_t microseconds(struct timeval time) {
    return (int64_t)time.tv_sec * 1000000 + time.tv_usec;
}

int64_t cpu_us(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return microseconds(usage.ru_utime) + microseconds(usage.ru_stime);
}

long max_rss_kb(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

void samples_add(struct samples *samples, int64_t ns) {
    if (samples->count == samples->capacity) {
        samples->capacity = samples->capacity ? samples->capacity * 2 : 4096;
        samples->ns = realloc(samples->ns, samples->capacity * sizeof(*samples->ns));
        if (!samples->ns) {
            die("out of memory for %zu samples", samples->capacity);
        }
    }
    samples->ns[samples->count++] = ns;
}

static int ascending(const void *left, const void *right) {
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
    return (a > b) - (a < b);
}

double samples_percentile_us(struct samples *samples, double percentile) {
    if (samples->count == 0) {
        return 0;
    }
    qsort(samples->ns, samples->count, sizeof(*samples->ns), ascending);
    size_t rank = (size_t)(percentile / 100.0 * (double)samples->count);
    if (rank >= samples->count) {
        rank = samples->count - 1;
    }
    return (double)samples->ns[rank] / 1000.0;
}

static const char *unix_path(const char *address) {
    if (strncmp(address, "unix:", 5) == 0) {
        return address + 5;
    }
    return address[0] == '/' ? address : NULL;
}

static struct sockaddr_un unix_address(const char *path) {
    struct sockaddr_un result = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(result.sun_path)) {
        die("socket path is too long: %s", path);
    }
    strcpy(result.sun_path, path);
    return result;
}

static struct sockaddr_in tcp_address(const char *address) {
    const char *colon = strrchr(address, ':');
    char host[64] = {0};
    struct sockaddr_in result = {.sin_family = AF_INET};
    if (!colon || (size_t)(colon - address) >= sizeof(host)) {
        die("not HOST:PORT: %s", address);
    }
    memcpy(host, address, (size_t)(colon - address));
    result.sin_port = htons((uint16_t)atoi(colon + 1));
    if (inet_pton(AF_INET, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, &result.sin_addr) != 1) {
        die("not a numeric host: %s", host);
    }
    return result;
}

void set_no_delay(int fd) {
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

void set_nonblocking(int fd) {
    if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL, 0) | O_NONBLOCK) != 0) {
        die("fcntl: %s", strerror(errno));
    }
}

int connect_to(const char *address) {
    const char *path = unix_path(address);
    int fd = socket(path ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int result;
    if (path) {
        struct sockaddr_un peer = unix_address(path);
        result = connect(fd, (struct sockaddr *)&peer, sizeof(peer));
    } else {
        struct sockaddr_in peer = tcp_address(address);
        result = connect(fd, (struct sockaddr *)&peer, sizeof(peer));
        set_no_delay(fd);
    }
    if (result != 0) {
        die("connect %s: %s", address, strerror(errno));
    }
    return fd;
}

int listen_on(const char *address, uint16_t *port) {
    const char *path = unix_path(address);
    int fd = socket(path ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int result;
    if (path) {
        struct sockaddr_un own = unix_address(path);
        unlink(path);
        result = bind(fd, (struct sockaddr *)&own, sizeof(own));
    } else {
        struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t size = sizeof(own);
        result = bind(fd, (struct sockaddr *)&own, sizeof(own));
        getsockname(fd, (struct sockaddr *)&own, &size);
        *port = ntohs(own.sin_port);
    }
    if (result != 0 || listen(fd, 1024) != 0) {
        die("listen on %s: %s", path ? path : "loopback", strerror(errno));
    }
    return fd;
}

bool write_exactly(int fd, const void *bytes, size_t count) {
    const char *next = bytes;
    while (count > 0) {
        ssize_t written = send(fd, next, count, MSG_NOSIGNAL);
        if (written <= 0) {
            return false;
        }
        next += written;
        count -= (size_t)written;
    }
    return true;
}

bool read_exactly(int fd, void *bytes, size_t count) {
    char *next = bytes;
    while (count > 0) {
        ssize_t received = read(fd, next, count);
        if (received <= 0) {
            return false;
        }
        next += received;
        count -= (size_t)received;
    }
    return true;
}

int stop_signal_fd(void) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    int fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0) {
        die("signalfd: %s", strerror(errno));
    }
    return fd;
}

void wait_for_stop(int signal_fd) {
    char ignored[256];
    struct pollfd descriptors[2] = {{.fd = signal_fd, .events = POLLIN}, {.fd = 0, .events = POLLIN}};
    for (;;) {
        if (poll(descriptors, 2, -1) < 0) {
            continue;
        }
        if (descriptors[0].revents) {
            return;
        }
        if (descriptors[1].revents && read(0, ignored, sizeof(ignored)) <= 0) {
            return;
        }
    }
}

static void stay_on(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof(set), &set) != 0) {
        die("sched_setaffinity %d: %s", cpu, strerror(errno));
    }
}

static cpu_set_t allowed_cpus(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) != 0) {
        die("sched_getaffinity: %s", strerror(errno));
    }
    return set;
}

void stay_on_first_cpu(void) {
    cpu_set_t set = allowed_cpus();
    int cpu = 0;
    while (!CPU_ISSET(cpu, &set)) {
        cpu++;
    }
    stay_on(cpu);
}

void stay_on_last_cpu(void) {
    cpu_set_t set = allowed_cpus();
    int cpu = CPU_SETSIZE - 1;
    while (!CPU_ISSET(cpu, &set)) {
        cpu--;
    }
    stay_on(cpu);
}

char *read_file(const char *path, size_t *count) {
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) != 0) {
        die("%s: %s", path, strerror(errno));
    }
    char *bytes = malloc((size_t)status.st_size + 1);
    if (!bytes || !read_exactly(fd, bytes, (size_t)status.st_size)) {
        die("%s: cannot be read whole", path);
    }
    close(fd);
    *count = (size_t)status.st_size;
    return bytes;
}
