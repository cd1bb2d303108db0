// SPDX-License-Identifier: Apache-2.0
//
// What libcurl itself costs: the multi interface with socket_action on one epoll thread, easy handles reused,
// a fixed number of POSTs in flight.
//
// Prints {"requests", "seconds", "requests_per_second", "cpu_us_per_request", "p50_us", "p99_us",
// "max_rss_kb"}; the first --warmup requests are not counted.
#include "bench.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

enum { IN_FLIGHT_MAX = 1024, EVENTS_MAX = 256 };

struct run {
    CURLM *multi;
    int epoll_fd;
    int64_t timer_due_ns;  // -1: no timer
    int64_t started, completed, total, warmup;
    int64_t counted_from_ns, counted_from_cpu_us;
    struct samples samples;
};

struct request {
    CURL *easy;
    int64_t started_ns;
};

static size_t drop(char *bytes, size_t size, size_t count, void *context) {
    (void)bytes;
    (void)context;
    return size * count;
}

static int socket_changed(CURL *easy, curl_socket_t fd, int what, void *context, void *known) {
    (void)easy;
    struct run *run = context;
    struct epoll_event event = {.data.fd = fd};
    if (what == CURL_POLL_REMOVE) {
        epoll_ctl(run->epoll_fd, EPOLL_CTL_DEL, fd, &event);
        return 0;
    }
    event.events = (what & CURL_POLL_IN ? (uint32_t)EPOLLIN : 0u);
    event.events |= (what & CURL_POLL_OUT ? (uint32_t)EPOLLOUT : 0u);
    if (epoll_ctl(run->epoll_fd, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) != 0) {
        die("epoll_ctl: %s", strerror(errno));
    }
    curl_multi_assign(run->multi, fd, run);
    return 0;
}

static int timer_changed(CURLM *multi, long milliseconds, void *context) {
    (void)multi;
    struct run *run = context;
    run->timer_due_ns = milliseconds < 0 ? -1 : now_ns() + milliseconds * 1000000;
    return 0;
}

static CURL *easy_handle(const char *url, const char *body, size_t body_bytes) {
    CURL *easy = curl_easy_init();
    struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
    headers = curl_slist_append(headers, "Content-Type: application/json");
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body_bytes);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, drop);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, 30000L);
    return easy;
}

static void send_request(struct run *run, struct request *request) {
    request->started_ns = now_ns();
    run->started++;
    CURLMcode code = curl_multi_add_handle(run->multi, request->easy);
    if (code != CURLM_OK) {
        die("curl_multi_add_handle: %s", curl_multi_strerror(code));
    }
}

static void request_complete(struct run *run, struct request *request, CURLcode result) {
    long status = 0;
    curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &status);
    if (result != CURLE_OK || status != 200) {
        die("request: %s, status %ld", curl_easy_strerror(result), status);
    }
    curl_multi_remove_handle(run->multi, request->easy);
    run->completed++;
    if (run->completed > run->warmup) {
        samples_add(&run->samples, now_ns() - request->started_ns);
    } else if (run->completed == run->warmup) {
        run->counted_from_ns = now_ns();
        run->counted_from_cpu_us = cpu_us();
    }
    if (run->started < run->total) {
        send_request(run, request);
    }
}

static void take_completed(struct run *run) {
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(run->multi, &left))) {
        if (message->msg == CURLMSG_DONE) {
            struct request *request;
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&request);
            request_complete(run, request, message->data.result);
        }
    }
}

static int wait_ms(const struct run *run) {
    if (run->timer_due_ns < 0) {
        return 1000;
    }
    int64_t left = run->timer_due_ns - now_ns();
    return left <= 0 ? 0 : (int)(left / 1000000 + 1);
}

static void serve(struct run *run) {
    struct epoll_event events[EVENTS_MAX];
    int running;
    while (run->completed < run->total) {
        int count = epoll_wait(run->epoll_fd, events, EVENTS_MAX, wait_ms(run));
        for (int index = 0; index < count; index++) {
            uint32_t bits = events[index].events;
            int ready = (bits & EPOLLIN ? CURL_CSELECT_IN : 0) | (bits & EPOLLOUT ? CURL_CSELECT_OUT : 0)
                        | (bits & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
            curl_multi_socket_action(run->multi, events[index].data.fd, ready, &running);
        }
        take_completed(run);
        if (run->timer_due_ns >= 0 && run->timer_due_ns <= now_ns()) {
            run->timer_due_ns = -1;
            curl_multi_socket_action(run->multi, CURL_SOCKET_TIMEOUT, 0, &running);
            take_completed(run);
        }
    }
}

static void print_result(struct run *run) {
    double seconds = (double)(now_ns() - run->counted_from_ns) / 1e9;
    double cpu = (double)(cpu_us() - run->counted_from_cpu_us);
    double counted = (double)run->samples.count;
    double p50 = samples_percentile_us(&run->samples, 50), p99 = samples_percentile_us(&run->samples, 99);
    printf("{\"requests\": %zu, \"seconds\": %.6f, \"requests_per_second\": %.0f, "
           "\"cpu_us_per_request\": %.3f, \"p50_us\": %.1f, \"p99_us\": %.1f, \"max_rss_kb\": %ld}\n",
           run->samples.count, seconds, counted / seconds, cpu / counted, p50, p99, max_rss_kb());
}

int main(int argc, char **argv) {
    const char *url = NULL, *body_file = NULL;
    int64_t body_bytes = 1024, in_flight = 1;
    static struct request requests[IN_FLIGHT_MAX];
    struct run run = {.timer_due_ns = -1, .total = 100000, .warmup = 1000};
    const struct setting settings[] = {
        {"--url", SETTING_TEXT, &url, "where to POST"},
        {"--body-bytes", SETTING_INTEGER, &body_bytes, "bytes of a body (1024)"},
        {"--body-file", SETTING_TEXT, &body_file, "file with the body, instead of --body-bytes"},
        {"--in-flight", SETTING_INTEGER, &in_flight, "requests at once, up to 1024 (1)"},
        {"--requests", SETTING_INTEGER, &run.total, "requests counted (100000)"},
        {"--warmup", SETTING_INTEGER, &run.warmup, "requests before, not counted, at least 1 (1000)"},
        {NULL, 0, NULL, NULL},
    };
    settings_read(argc, argv, settings);
    bool counts_fit = in_flight >= 1 && in_flight <= IN_FLIGHT_MAX && body_bytes >= 0;
    if (!url || !counts_fit || run.total < 1 || run.warmup < 1) {
        die("give --url, 1 to %d --in-flight, --requests and --warmup of at least 1", IN_FLIGHT_MAX);
    }
    size_t length = (size_t)body_bytes;
    char *body = body_file ? read_file(body_file, &length) : malloc(length + 1);
    if (!body_file) {
        memset(body, 'x', length);
    }
    run.total += run.warmup;
    curl_global_init(CURL_GLOBAL_DEFAULT);
    run.multi = curl_multi_init();
    run.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    curl_multi_setopt(run.multi, CURLMOPT_SOCKETFUNCTION, socket_changed);
    curl_multi_setopt(run.multi, CURLMOPT_SOCKETDATA, &run);
    curl_multi_setopt(run.multi, CURLMOPT_TIMERFUNCTION, timer_changed);
    curl_multi_setopt(run.multi, CURLMOPT_TIMERDATA, &run);
    curl_multi_setopt(run.multi, CURLMOPT_MAXCONNECTS, (long)in_flight);
    for (int64_t index = 0; index < in_flight && run.started < run.total; index++) {
        requests[index].easy = easy_handle(url, body, length);
        curl_easy_setopt(requests[index].easy, CURLOPT_PRIVATE, &requests[index]);
        send_request(&run, &requests[index]);
    }
    serve(&run);
    print_result(&run);
    return 0;
}
