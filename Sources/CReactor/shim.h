// SPDX-License-Identifier: Apache-2.0
//
// What the Glibc module leaves out: epoll, eventfd, pidfd and friends.
#ifndef PENSTOCK_CREACTOR_H
#define PENSTOCK_CREACTOR_H

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <poll.h>
#include <spawn.h>
#include <unistd.h>

/// pidfd_open(2): a descriptor that becomes readable when the process ends; -1 with errno on failure.
static inline int penstock_pidfd_open(pid_t pid) {
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

/// pthread_setname_np(3), which the Glibc module hides behind _GNU_SOURCE.
extern int pthread_setname_np(pthread_t thread, const char *name);
static inline int penstock_set_thread_name(pthread_t thread, const char *name) {
    return pthread_setname_np(thread, name);
}

/// Sets O_NONBLOCK; 0 on success (fcntl is variadic and does not import).
static inline int penstock_set_nonblocking(int fd) {
    int flags = fcntl(fd, F_GETFL, 0);
    return flags < 0 ? -1 : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

#endif
