// SPDX-License-Identifier: Apache-2.0
//
// What a process supervisor and a small server need and Swift cannot import: functions behind _GNU_SOURCE, and calls
// whose arguments are macros.
#ifndef PENSTOCK_CREACTOR_PROCESS_H
#define PENSTOCK_CREACTOR_PROCESS_H

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>
#include <fcntl.h>

// Declared here because their headers hide them behind _GNU_SOURCE.
extern int posix_spawn_file_actions_addchdir_np(posix_spawn_file_actions_t *actions, const char *path);
extern int posix_spawn_file_actions_addclosefrom_np(posix_spawn_file_actions_t *actions, int from);
extern int accept4(int socket, struct sockaddr *address, socklen_t *length, int flags);
extern int pipe2(int ends[2], int flags);
extern void *memmem(const void *bytes, size_t count, const void *wanted, size_t wantedCount);

/// What a child process is made from.
struct penstock_spawn_request {
    const char *path;
    char *const *arguments;
    char *const *environment;
    const char *directory;
    int output;
    int error;
};

/// Starts a process that leads its own group, with default signals, stdin from /dev/null, and no descriptor but the
/// two given. Returns 0 and the process id, or an errno.
static inline int penstock_spawn(const struct penstock_spawn_request *request, pid_t *pid) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int code = posix_spawn_file_actions_init(&actions);
    if (code != 0) return code;
    code = posix_spawnattr_init(&attributes);
    if (code != 0) {
        posix_spawn_file_actions_destroy(&actions);
        return code;
    }
    sigset_t all, none;
    sigfillset(&all);
    sigemptyset(&none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(
        &attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
    if (code == 0) code = posix_spawn_file_actions_addchdir_np(&actions, request->directory);
    if (code == 0) code = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    if (code == 0) code = posix_spawn_file_actions_adddup2(&actions, request->output, 1);
    if (code == 0) code = posix_spawn_file_actions_adddup2(&actions, request->error, 2);
    if (code == 0) code = posix_spawn_file_actions_addclosefrom_np(&actions, 3);
    if (code == 0)
        code = posix_spawn(pid, request->path, &actions, &attributes, request->arguments, request->environment);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return code;
}

/// A pipe whose read end does not block; both ends are closed on exec. 0, or -1 with errno.
static inline int penstock_pipe(int *reader, int *writer) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return -1;
    int flags = fcntl(ends[0], F_GETFL, 0);
    fcntl(ends[0], F_SETFL, flags | O_NONBLOCK);
    *reader = ends[0];
    *writer = ends[1];
    return 0;
}

/// Listens on 127.0.0.1 at a free port, without blocking; accepted sockets send at once. -1 with errno on failure.
static inline int penstock_listen_loopback(uint16_t *port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return -1;
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct sockaddr_in address;
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    if (bind(fd, (struct sockaddr *)&address, length) != 0 || listen(fd, 16) != 0
        || getsockname(fd, (struct sockaddr *)&address, &length) != 0) {
        int code = errno;
        close(fd);
        errno = code;
        return -1;
    }
    *port = ntohs(address.sin_port);
    return fd;
}

/// Listens on a unix socket at `path`, without blocking. -1 with errno on failure.
static inline int penstock_listen_unix(const char *path) {
    struct sockaddr_un address;
    memset(&address, 0, sizeof address);
    address.sun_family = AF_UNIX;
    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return -1;
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 16) != 0) {
        int code = errno;
        close(fd);
        errno = code;
        return -1;
    }
    return fd;
}

/// accept4(2), without blocking.
static inline int penstock_accept(int listener) {
    return accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

/// Sends two pieces with one call, without SIGPIPE: the bytes taken, or -1 with errno.
static inline ssize_t penstock_send(int fd, const void *first, size_t firstCount, const void *second, size_t secondCount) {
    struct iovec pieces[2] = {{(void *)first, firstCount}, {(void *)second, secondCount}};
    struct msghdr message;
    memset(&message, 0, sizeof message);
    message.msg_iov = firstCount > 0 ? pieces : pieces + 1;
    message.msg_iovlen = (firstCount > 0) + (secondCount > 0);
    if (firstCount > 0 && secondCount == 0) message.msg_iovlen = 1;
    return sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/// Whether the other side of a stream socket is still there: 1 open, 0 closed or in error. Reads nothing.
static inline int penstock_peer_is_open(int fd) {
    char byte;
    ssize_t count = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return count > 0 || (count < 0 && (errno == EAGAIN || errno == EINTR));
}

/// Opens for reading, closed on exec.
static inline int penstock_open_read(const char *path) {
    return open(path, O_RDONLY | O_CLOEXEC);
}

/// Whether either descriptor can be read or has ended; does not wait.
static inline int penstock_any_readable(int first, int second) {
    struct pollfd both[2] = {{first, POLLIN, 0}, {second, POLLIN, 0}};
    return poll(both, 2, 0) > 0;
}

/// memmem(3).
static inline const void *penstock_find(const void *bytes, size_t count, const void *wanted, size_t wantedCount) {
    return memmem(bytes, count, wanted, wantedCount);
}

#endif
