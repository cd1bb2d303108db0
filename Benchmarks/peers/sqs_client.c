// SPDX-License-Identifier: Apache-2.0
//
// What libcurl itself costs for the calls of an SQS consumer: ReceiveMessage of ten, POST of an event to a
// function, DeleteMessageBatch of the ten, over and over on --in-flight lanes. Of the answers it reads the
// receipt handles alone. libcurl signs the calls of the queue (CURLOPT_AWS_SIGV4); with --unsigned they have a
// constant instead, which SQS would refuse.
//
// Ends when --messages are deleted, which must be a multiple of ten. Prints {"messages", "seconds",
// "messages_per_second", "cpu_us_per_message", "max_rss_kb"}.
#include "bench.h"
#include "curl_loop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LANES_MAX = 256, BATCH = 10, HANDLE_MAX = 1024, WAIT_SECONDS = 20, VISIBILITY_SECONDS = 60 };

/// One consumer: its three requests follow each other.
struct lane {
    CURL *receive, *invoke, *erase;
    char *answer;
    size_t answer_bytes, answer_room;
    char *deletion;
};

struct run {
    struct curl_loop loop;
    const char *queue_url;
    bool is_unsigned;
    int64_t total, asked, deleted;
    char *receive_body;
};

static size_t keep(char *bytes, size_t size, size_t count, void *context) {
    struct lane *lane = context;
    size_t added = size * count, needed = lane->answer_bytes + added + 1;
    if (needed > lane->answer_room) {
        lane->answer_room = 2 * needed;
        lane->answer = realloc(lane->answer, lane->answer_room);
        if (!lane->answer) {
            die("out of memory for an answer");
        }
    }
    memcpy(lane->answer + lane->answer_bytes, bytes, added);
    lane->answer_bytes += added;
    lane->answer[lane->answer_bytes] = '\0';
    return added;
}

static CURL *easy_handle(const char *url, struct curl_slist *headers, struct lane *lane) {
    CURL *easy = curl_easy_init();
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "penstock");
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, keep);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, lane);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, lane);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, 30000L);
    return easy;
}

static void set_body(CURL *easy, const char *body, size_t bytes) {
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)bytes);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body);
}

/// With `is_unsigned`, the signature's headers are there as well.
static struct curl_slist *queue_headers(const char *operation, bool is_unsigned) {
    char target[128];
    snprintf(target, sizeof(target), "X-Amz-Target: AmazonSQS.%s", operation);
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/x-amz-json-1.0");
    headers = curl_slist_append(headers, target);
    if (!is_unsigned) {
        return headers;
    }
    headers = curl_slist_append(headers, "X-Amz-Date: 20260314T092710Z");
    return curl_slist_append(
        headers, "Authorization: AWS4-HMAC-SHA256 Credential=bench/20260314/eu-west-1/sqs/aws4_request, "
                 "SignedHeaders=content-type;host;x-amz-date;x-amz-target, "
                 "Signature=b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"
    );
}

/// A handle for calls of the queue.
static CURL *queue_handle(const struct run *run, const char *endpoint, const char *operation, struct lane *lane) {
    CURL *easy = easy_handle(endpoint, queue_headers(operation, run->is_unsigned), lane);
    if (!run->is_unsigned) {
        curl_easy_setopt(easy, CURLOPT_AWS_SIGV4, "aws:amz:eu-west-1:sqs");
        curl_easy_setopt(easy, CURLOPT_USERPWD, "bench:bench");
    }
    return easy;
}

/// As Penstock's HTTP function sends them.
static struct curl_slist *function_headers(void) {
    struct curl_slist *headers = curl_slist_append(NULL, "Expect:");
    headers = curl_slist_append(headers, "Content-Type: application/json");
    headers = curl_slist_append(headers, "X-Penstock-Trigger: load");
    headers = curl_slist_append(headers, "X-Penstock-Attempt: 1");
    headers = curl_slist_append(headers, "X-Penstock-Invocation-Id: 0197f3a1-5c6e-7b7d-9a41-5a0c6e6d1b01");
    return curl_slist_append(headers, "X-Penstock-Deadline-Ms: 1773478835120");
}

static void send_request(struct run *run, struct lane *lane, CURL *easy) {
    lane->answer_bytes = 0;
    curl_loop_add(&run->loop, easy);
}

static void send_receive(struct run *run, struct lane *lane) {
    if (run->asked < run->total) {
        run->asked += BATCH;
        send_request(run, lane, lane->receive);
    }
}

/// The deletion of all that an answer brought.
static size_t write_deletion(const struct run *run, struct lane *lane) {
    static const char key[] = "\"ReceiptHandle\":\"";
    int count = 0, bytes = sprintf(lane->deletion, "{\"QueueUrl\":\"%s\",\"Entries\":[", run->queue_url);
    const char *at = lane->answer, *end = lane->answer + lane->answer_bytes;
    while ((at = memmem(at, (size_t)(end - at), key, sizeof(key) - 1))) {
        at += sizeof(key) - 1;
        int length = (int)strcspn(at, "\"");
        if (count == BATCH || length > HANDLE_MAX) {
            die("more than %d messages, or a receipt handle of %d bytes", BATCH, length);
        }
        const char *comma = count ? "," : "";
        bytes += sprintf(lane->deletion + bytes, "%s{\"Id\":\"%d\",\"ReceiptHandle\":\"", comma, count);
        memcpy(lane->deletion + bytes, at, (size_t)length);
        bytes += length;
        bytes += sprintf(lane->deletion + bytes, "\"}");
        at += length;
        count++;
    }
    if (count != BATCH) {
        die("the queue gave %d messages, not %d", count, BATCH);
    }
    return (size_t)(bytes + sprintf(lane->deletion + bytes, "]}"));
}

static void request_complete(void *context, CURL *easy, CURLcode result) {
    struct run *run = context;
    struct lane *lane;
    long status = 0;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&lane);
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    if (result != CURLE_OK || status != 200) {
        die("request: %s, status %ld", curl_easy_strerror(result), status);
    }
    if (easy == lane->receive) {
        set_body(lane->erase, lane->deletion, write_deletion(run, lane));
        send_request(run, lane, lane->invoke);
    } else if (easy == lane->invoke) {
        send_request(run, lane, lane->erase);
    } else if (strstr(lane->answer, "\"Failed\"")) {
        die("not all were deleted: %.200s", lane->answer);
    } else {
        run->deleted += BATCH;
        send_receive(run, lane);
    }
}

static void lane_make(struct run *run, struct lane *lane, const char *endpoint, const char *function_url) {
    lane->deletion = malloc(256 + BATCH * (HANDLE_MAX + 64));
    if (!lane->deletion) {
        die("out of memory for a lane");
    }
    lane->receive = queue_handle(run, endpoint, "ReceiveMessage", lane);
    lane->invoke = easy_handle(function_url, function_headers(), lane);
    lane->erase = queue_handle(run, endpoint, "DeleteMessageBatch", lane);
    set_body(lane->receive, run->receive_body, strlen(run->receive_body));
}

static char *receive_body(const char *queue_url) {
    char *body = malloc(512);
    if (!body) {
        die("out of memory for a request");
    }
    snprintf(
        body, 512,
        "{\"QueueUrl\":\"%s\",\"MaxNumberOfMessages\":%d,\"WaitTimeSeconds\":%d,\"VisibilityTimeout\":%d,"
        "\"MessageSystemAttributeNames\":[\"All\"],\"MessageAttributeNames\":[\"All\"]}",
        queue_url, BATCH, WAIT_SECONDS, VISIBILITY_SECONDS
    );
    return body;
}

int main(int argc, char **argv) {
    const char *endpoint = NULL, *function_url = NULL, *event_file = NULL;
    int64_t in_flight = 8;
    static struct lane lanes[LANES_MAX];
    struct run run = {.total = 100000, .loop.completed = request_complete, .loop.context = &run};
    const struct setting settings[] = {
        {"--endpoint", SETTING_TEXT, &endpoint, "where the queue's calls go"},
        {"--queue-url", SETTING_TEXT, &run.queue_url, "the queue, in the calls"},
        {"--function-url", SETTING_TEXT, &function_url, "where the events go"},
        {"--event-file", SETTING_TEXT, &event_file, "file with the event of ten messages"},
        {"--in-flight", SETTING_INTEGER, &in_flight, "lanes, each with one request in flight, up to 256 (8)"},
        {"--unsigned", SETTING_FLAG, &run.is_unsigned, "calls have a constant instead of a signature"},
        {"--messages", SETTING_INTEGER, &run.total, "messages in the queue, a multiple of ten (100000)"},
        {NULL, 0, NULL, NULL},
    };
    settings_read(argc, argv, settings);
    bool are_given = endpoint && run.queue_url && strlen(run.queue_url) <= 128 && function_url && event_file;
    bool lanes_fit = in_flight >= 1 && in_flight <= LANES_MAX;
    if (!are_given || !lanes_fit || run.total < BATCH || run.total % BATCH != 0) {
        die("give --endpoint, --queue-url, --function-url, --event-file, 1 to %d --in-flight, and a multiple "
            "of %d --messages",
            LANES_MAX, BATCH);
    }
    size_t event_bytes;
    char *event = read_file(event_file, &event_bytes);
    run.receive_body = receive_body(run.queue_url);
    // Each lane talks to the queue and to the function.
    curl_loop_open(&run.loop, 2 * (long)in_flight);
    int64_t from_ns = now_ns(), from_cpu_us = cpu_us();
    for (int64_t index = 0; index < in_flight; index++) {
        lane_make(&run, &lanes[index], endpoint, function_url);
        set_body(lanes[index].invoke, event, event_bytes);
        send_receive(&run, &lanes[index]);
    }
    while (run.deleted < run.total) {
        curl_loop_turn(&run.loop);
    }
    double seconds = (double)(now_ns() - from_ns) / 1e9, cpu = (double)(cpu_us() - from_cpu_us);
    double count = (double)run.deleted;
    printf("{\"messages\": %lld, \"seconds\": %.6f, \"messages_per_second\": %.0f, "
           "\"cpu_us_per_message\": %.3f, \"max_rss_kb\": %ld}\n",
           (long long)run.deleted, seconds, count / seconds, cpu / count, max_rss_kb());
    return 0;
}
