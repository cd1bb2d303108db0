// SPDX-License-Identifier: Apache-2.0
//
// What libcurl itself costs: the multi interface with socket_action on one epoll thread, easy handles reused,
// a fixed number of POSTs in flight.
//
// Prints {"requests", "seconds", "requests_per_second", "cpu_us_per_request", "p50_us", "p99_us",
// "max_rss_kb"}; the first --warmup requests are not counted.
#include "bench.h"
#include "curl_loop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IN_FLIGHT_MAX = 1024 };

struct run {
    struct curl_loop loop;
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
    curl_loop_add(&run->loop, request->easy);
}

static void request_complete(void *context, CURL *easy, CURLcode result) {
    struct run *run = context;
    struct request *request;
    long status = 0;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&request);
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    if (result != CURLE_OK || status != 200) {
        die("request: %s, status %ld", curl_easy_strerror(result), status);
    }
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
    struct run run = {.total = 100000, .warmup = 1000};
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
    run.loop.completed = request_complete;
    run.loop.context = &run;
    curl_loop_open(&run.loop, (long)in_flight);
    for (int64_t index = 0; index < in_flight && run.started < run.total; index++) {
        requests[index].easy = easy_handle(url, body, length);
        curl_easy_setopt(requests[index].easy, CURLOPT_PRIVATE, &requests[index]);
        send_request(&run, &requests[index]);
    }
    while (run.completed < run.total) {
        curl_loop_turn(&run.loop);
    }
    print_result(&run);
    return 0;
}
