// SPDX-License-Identifier: Apache-2.0
//
// libcurl's multi interface with socket_action on one epoll descriptor: the cheapest way to have many
// requests in flight on one thread.
#ifndef PENSTOCK_BENCH_CURL_LOOP_H
#define PENSTOCK_BENCH_CURL_LOOP_H

#include "bench.h"

#include <curl/curl.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

enum { CURL_LOOP_EVENTS_MAX = 256 };

/// `completed` is called for each request that has ended, and may add others.
struct curl_loop {
    CURLM *multi;
    int epoll_fd;
    int64_t timer_due_ns;  // -1: no timer
    void (*completed)(void *context, CURL *easy, CURLcode result);
    void *context;
};

static inline int curl_loop_socket_changed(CURL *easy, curl_socket_t fd, int what, void *context, void *known) {
    (void)easy;
    struct curl_loop *loop = context;
    struct epoll_event event = {.data.fd = fd};
    if (what == CURL_POLL_REMOVE) {
        epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, fd, &event);
        return 0;
    }
    event.events = (what & CURL_POLL_IN ? (uint32_t)EPOLLIN : 0u);
    event.events |= (what & CURL_POLL_OUT ? (uint32_t)EPOLLOUT : 0u);
    if (epoll_ctl(loop->epoll_fd, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) != 0) {
        die("epoll_ctl: %s", strerror(errno));
    }
    curl_multi_assign(loop->multi, fd, loop);
    return 0;
}

static inline int curl_loop_timer_changed(CURLM *multi, long milliseconds, void *context) {
    (void)multi;
    struct curl_loop *loop = context;
    loop->timer_due_ns = milliseconds < 0 ? -1 : now_ns() + milliseconds * 1000000;
    return 0;
}

/// Keeps up to `connections` connections between requests.
static inline void curl_loop_open(struct curl_loop *loop, long connections) {
    curl_global_init(CURL_GLOBAL_DEFAULT);
    loop->timer_due_ns = -1;
    loop->multi = curl_multi_init();
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    curl_multi_setopt(loop->multi, CURLMOPT_SOCKETFUNCTION, curl_loop_socket_changed);
    curl_multi_setopt(loop->multi, CURLMOPT_SOCKETDATA, loop);
    curl_multi_setopt(loop->multi, CURLMOPT_TIMERFUNCTION, curl_loop_timer_changed);
    curl_multi_setopt(loop->multi, CURLMOPT_TIMERDATA, loop);
    curl_multi_setopt(loop->multi, CURLMOPT_MAXCONNECTS, connections);
}

/// Starts a request. Exits 1 when libcurl does not take it.
static inline void curl_loop_add(struct curl_loop *loop, CURL *easy) {
    CURLMcode code = curl_multi_add_handle(loop->multi, easy);
    if (code != CURLM_OK) {
        die("curl_multi_add_handle: %s", curl_multi_strerror(code));
    }
}

static inline void curl_loop_take_completed(struct curl_loop *loop) {
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(loop->multi, &left))) {
        if (message->msg == CURLMSG_DONE) {
            CURL *easy = message->easy_handle;
            CURLcode result = message->data.result;
            curl_multi_remove_handle(loop->multi, easy);
            loop->completed(loop->context, easy, result);
        }
    }
}

static inline int curl_loop_wait_ms(const struct curl_loop *loop) {
    if (loop->timer_due_ns < 0) {
        return 1000;
    }
    int64_t left = loop->timer_due_ns - now_ns();
    return left <= 0 ? 0 : (int)(left / 1000000 + 1);
}

/// Waits for what the requests in flight wait for, and lets them go on.
static inline void curl_loop_turn(struct curl_loop *loop) {
    struct epoll_event events[CURL_LOOP_EVENTS_MAX];
    int running;
    int count = epoll_wait(loop->epoll_fd, events, CURL_LOOP_EVENTS_MAX, curl_loop_wait_ms(loop));
    for (int index = 0; index < count; index++) {
        uint32_t bits = events[index].events;
        int ready = (bits & EPOLLIN ? CURL_CSELECT_IN : 0) | (bits & EPOLLOUT ? CURL_CSELECT_OUT : 0)
                    | (bits & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
        curl_multi_socket_action(loop->multi, events[index].data.fd, ready, &running);
    }
    curl_loop_take_completed(loop);
    if (loop->timer_due_ns >= 0 && loop->timer_due_ns <= now_ns()) {
        loop->timer_due_ns = -1;
        curl_multi_socket_action(loop->multi, CURL_SOCKET_TIMEOUT, 0, &running);
        curl_loop_take_completed(loop);
    }
}

#endif
