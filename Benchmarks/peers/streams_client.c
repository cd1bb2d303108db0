// SPDX-License-Identifier: Apache-2.0
//
// What libcurl itself costs for the calls of a reader of DynamoDB Streams: GetRecords of a thousand, over and
// over, in each of --shards shards one call at a time, which libcurl signs. Of the answers it reads the next
// iterator alone.
//
// Ends when --records were given, all that the shards of `stream_server` have. Prints {"records", "pages",
// "seconds", "records_per_second", "cpu_us_per_record", "max_rss_kb"}.
#include "bench.h"
#include "curl_loop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHARDS_MAX = 256, ITERATOR_MAX = 64, PAGE = 1000 };

/// One shard, whose pages follow each other.
struct lane {
    CURL *easy;
    char *answer, body[128 + ITERATOR_MAX];
    size_t answer_bytes, answer_room;
    int64_t given;
};

struct run {
    struct curl_loop loop;
    int64_t total, given, pages;
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

static struct curl_slist *headers(void) {
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/x-amz-json-1.0");
    return curl_slist_append(headers, "X-Amz-Target: DynamoDBStreams_20120810.GetRecords");
}

static void ask(struct run *run, struct lane *lane, const char *iterator) {
    int bytes = snprintf(
        lane->body, sizeof(lane->body), "{\"ShardIterator\":\"%s\",\"Limit\":%d}", iterator, PAGE
    );
    lane->answer_bytes = 0;
    curl_easy_setopt(lane->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)bytes);
    curl_easy_setopt(lane->easy, CURLOPT_POSTFIELDS, lane->body);
    curl_loop_add(&run->loop, lane->easy);
}

/// Goes on with the iterator of an answer, which says how many records were given.
static void go_on(struct run *run, struct lane *lane) {
    static const char key[] = "\"NextShardIterator\":\"";
    const char *from = memmem(lane->answer, lane->answer_bytes, key, sizeof(key) - 1);
    const char *bar = from ? strchr(from += sizeof(key) - 1, '|') : NULL, *end = bar ? strchr(bar, '"') : NULL;
    if (!end || end - from >= ITERATOR_MAX) {
        die("an answer without an iterator: %.200s", lane->answer);
    }
    char iterator[ITERATOR_MAX];
    snprintf(iterator, sizeof(iterator), "%.*s", (int)(end - from), from);
    int64_t given = strtoll(bar + 1, NULL, 10) - lane->given;
    lane->given += given;
    run->given += given;
    run->pages += given > 0;
    // A page without records is the end of what the shard has.
    if (given > 0) {
        ask(run, lane, iterator);
    }
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
    go_on(run, lane);
}

static void lane_make(struct lane *lane, const char *endpoint) {
    lane->easy = curl_easy_init();
    curl_easy_setopt(lane->easy, CURLOPT_URL, endpoint);
    curl_easy_setopt(lane->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(lane->easy, CURLOPT_USERAGENT, "penstock");
    curl_easy_setopt(lane->easy, CURLOPT_HTTPHEADER, headers());
    curl_easy_setopt(lane->easy, CURLOPT_AWS_SIGV4, "aws:amz:eu-west-1:dynamodb");
    curl_easy_setopt(lane->easy, CURLOPT_USERPWD, "bench:bench");
    curl_easy_setopt(lane->easy, CURLOPT_WRITEFUNCTION, keep);
    curl_easy_setopt(lane->easy, CURLOPT_WRITEDATA, lane);
    curl_easy_setopt(lane->easy, CURLOPT_PRIVATE, lane);
    curl_easy_setopt(lane->easy, CURLOPT_TIMEOUT_MS, 30000L);
}

int main(int argc, char **argv) {
    const char *endpoint = NULL;
    int64_t shards = 4;
    static struct lane lanes[SHARDS_MAX];
    struct run run = {.total = 1000000, .loop.completed = request_complete, .loop.context = &run};
    const struct setting settings[] = {
        {"--endpoint", SETTING_TEXT, &endpoint, "where the calls go"},
        {"--shards", SETTING_INTEGER, &shards, "shards of the stream, up to 256 (4)"},
        {"--records", SETTING_INTEGER, &run.total, "records of the stream (1000000)"},
        {NULL, 0, NULL, NULL},
    };
    settings_read(argc, argv, settings);
    if (!endpoint || shards < 1 || shards > SHARDS_MAX || run.total < 1) {
        die("give --endpoint, 1 to %d --shards, and --records", SHARDS_MAX);
    }
    curl_loop_open(&run.loop, (long)shards);
    int64_t from_ns = now_ns(), from_cpu_us = cpu_us();
    for (int64_t shard = 0; shard < shards; shard++) {
        char iterator[ITERATOR_MAX];
        snprintf(iterator, sizeof(iterator), "%lld|0", (long long)shard);
        lane_make(&lanes[shard], endpoint);
        ask(&run, &lanes[shard], iterator);
    }
    while (run.given < run.total) {
        curl_loop_turn(&run.loop);
    }
    double seconds = (double)(now_ns() - from_ns) / 1e9, cpu = (double)(cpu_us() - from_cpu_us);
    double count = (double)run.given;
    printf("{\"records\": %lld, \"pages\": %lld, \"seconds\": %.6f, \"records_per_second\": %.0f, "
           "\"cpu_us_per_record\": %.3f, \"max_rss_kb\": %ld}\n",
           (long long)run.given, (long long)run.pages, seconds, count / seconds, cpu / count, max_rss_kb());
    return 0;
}
