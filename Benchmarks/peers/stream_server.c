// SPDX-License-Identifier: Apache-2.0
//
// The stream of a table that answers the JSON protocol of DynamoDB Streams, on a loopback port of its own.
//
// It has --shards open shards of --records in all. GetRecords gives up to --page of them, each with a sequence
// number and an id of its own, and --item-bytes of text in its image; behind the last one it gives none.
// An iterator is the place itself. ListStreams, DescribeStream and GetShardIterator answer, and every other
// operation is refused. Signatures are not looked at.
//
// GET /stats answers the counters: `given` records in `pages` that were not empty.
//
// Each connection has a thread, so that a large page that is read slowly holds up nobody. Prints {"port": N,
// "records": N, "shards": N} and serves until standard input ends or SIGTERM comes.
#include "bench.h"
#include "http_message.h"
#include "json_member.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SHARDS_MAX = 256, PAGE_MAX = 1000, ID_DIGITS = 32, NUMBER_DIGITS = 21, HEAD_ROOM = 512 };

static const char STREAM[] = "arn:aws:dynamodb:eu-west-1:000000000000:table/bench/stream/2026-03-14T08:00:00.123";

/// A page's records side by side, with a comma behind each: only the numbers in them change.
struct record_page {
    char *text;
    size_t slot_bytes, id_at, number_at;
};

static int64_t total = 1000000, shards = 4, page_max = PAGE_MAX, item_bytes = 256;
static atomic_llong given, pages, connections;

// MARK: - The records

static void record_page_make(struct record_page *page) {
    static const char id[] = "\"eventID\":\"", number[] = "\"SequenceNumber\":\"";
    char *slot = malloc((size_t)item_bytes + 1024), *item = malloc((size_t)item_bytes + 1);
    if (!slot || !item) {
        die("out of memory for a record");
    }
    memset(item, 'x', (size_t)item_bytes);
    item[item_bytes] = '\0';
    page->slot_bytes = (size_t)sprintf(
        slot,
        "{\"awsRegion\":\"eu-west-1\",\"dynamodb\":{\"ApproximateCreationDateTime\":1773478800,"
        "\"Keys\":{\"pk\":{\"S\":\"order-7301\"}},\"NewImage\":{\"note\":{\"S\":\"%s\"},\"pk\":{\"S\":\"order-7301\"},"
        "\"total\":{\"N\":\"120.5\"}},\"SequenceNumber\":\"%0*d\",\"SizeBytes\":%lld,\"StreamViewType\":"
        "\"NEW_AND_OLD_IMAGES\"},\"eventID\":\"%0*d\",\"eventName\":\"INSERT\",\"eventSource\":\"aws:dynamodb\","
        "\"eventVersion\":\"1.1\"},",
        item, NUMBER_DIGITS, 0, (long long)item_bytes + 40, ID_DIGITS, 0
    );
    page->id_at = (size_t)(strstr(slot, id) - slot) + sizeof(id) - 1;
    page->number_at = (size_t)(strstr(slot, number) - slot) + sizeof(number) - 1;
    page->text = malloc(page->slot_bytes * (size_t)page_max);
    if (!page->text) {
        die("out of memory for a page");
    }
    for (int64_t index = 0; index < page_max; index++) {
        memcpy(page->text + page->slot_bytes * (size_t)index, slot, page->slot_bytes);
    }
    free(slot);
    free(item);
}

static void write_number(char *text, int64_t value, int digits, int base) {
    for (int index = digits - 1; index >= 0; index--, value /= base) {
        text[index] = "0123456789abcdef"[value % base];
    }
}

/// Makes a slot the record of this place: its sequence number is 1, the shard in eight digits, and the index.
static void record_page_set(struct record_page *page, int64_t slot, int64_t shard, int64_t index) {
    char *text = page->text + page->slot_bytes * (size_t)slot;
    text[page->number_at] = '1';
    write_number(text + page->number_at + 1, shard, 8, 10);
    write_number(text + page->number_at + 9, index, NUMBER_DIGITS - 9, 10);
    write_number(text + page->id_at, shard, 8, 16);
    write_number(text + page->id_at + 8, index, ID_DIGITS - 8, 16);
}

static int64_t shard_records(int64_t shard) { return total / shards + (shard < total % shards); }

// MARK: - Answers

static bool answer(int fd, const char *status, const char *body, size_t bytes) {
    char head[HEAD_ROOM];
    int length = snprintf(
        head, sizeof(head),
        "HTTP/1.1 %s\r\nx-amzn-RequestId: 7a62c49f-347e-4fc4-9331-6e8e7a96aa73\r\n"
        "Content-Type: application/x-amz-json-1.0\r\nContent-Length: %zu\r\n\r\n",
        status, bytes
    );
    return send(fd, head, (size_t)length, MSG_NOSIGNAL | MSG_MORE) == length
           && (bytes == 0 || write_exactly(fd, body, bytes));
}

static bool answer_text(int fd, const char *status, const char *body) {
    return answer(fd, status, body, strlen(body));
}

static bool refuse(int fd, const char *code) {
    char body[256];
    snprintf(body, sizeof(body), "{\"__type\":\"com.amazonaws.dynamodb.v20120810#%s\"}", code);
    return answer_text(fd, "400 Bad Request", body);
}

static bool answer_description(int fd) {
    char *text = malloc(512 + (size_t)shards * 256);
    if (!text) {
        die("out of memory for a description");
    }
    int bytes = sprintf(
        text,
        "{\"StreamDescription\":{\"StreamArn\":\"%s\",\"StreamStatus\":\"ENABLED\",\"StreamViewType\":"
        "\"NEW_AND_OLD_IMAGES\",\"Shards\":[",
        STREAM
    );
    for (int64_t shard = 0; shard < shards; shard++) {
        bytes += sprintf(
            text + bytes,
            "%s{\"ShardId\":\"shardId-%020lld-00000000\",\"SequenceNumberRange\":{\"StartingSequenceNumber\":"
            "\"1%08lld%012d\"}}",
            shard ? "," : "", (long long)shard, (long long)shard, 0
        );
    }
    bytes += sprintf(text + bytes, "]}}");
    bool sent = answer(fd, "200 OK", text, (size_t)bytes);
    free(text);
    return sent;
}

static bool answer_iterator(int fd, struct text body) {
    char text[128];
    struct text shard = text_member(body, "ShardId"), place = text_member(body, "ShardIteratorType");
    static const char before[] = "shardId-", oldest[] = "TRIM_HORIZON";
    bool is_known = (size_t)(shard.to - shard.from) > sizeof(before) && memcmp(shard.from, before, 8) == 0;
    int64_t number = is_known ? strtoll(shard.from + sizeof(before) - 1, NULL, 10) : -1;
    if (number < 0 || number >= shards) {
        return refuse(fd, "ResourceNotFoundException");
    }
    if ((size_t)(place.to - place.from) != sizeof(oldest) - 1 || memcmp(place.from, oldest, sizeof(oldest) - 1)) {
        return refuse(fd, "ValidationException");
    }
    snprintf(text, sizeof(text), "{\"ShardIterator\":\"%lld|0\"}", (long long)number);
    return answer_text(fd, "200 OK", text);
}

static bool answer_records(int fd, struct text body, struct record_page *page) {
    static const char after[] = "]}";
    struct text iterator = text_member(body, "ShardIterator");
    int64_t limit = number_member(body, "Limit", page_max);
    char *end = NULL;
    int64_t shard = strtoll(iterator.from, &end, 10), index = *end == '|' ? strtoll(end + 1, NULL, 10) : -1;
    if (shard < 0 || shard >= shards || index < 0 || limit < 1 || limit > PAGE_MAX) {
        return refuse(fd, "ValidationException");
    }
    int64_t left = shard_records(shard) - index, count = left < limit ? left : limit;
    count = count < page_max ? count : page_max;
    for (int64_t slot = 0; slot < count; slot++) {
        record_page_set(page, slot, shard, index + slot);
    }
    // Without the last comma.
    size_t bytes = count > 0 ? page->slot_bytes * (size_t)count - 1 : 0;
    char head[HEAD_ROOM], before[128];
    int before_bytes = snprintf(
        before, sizeof(before), "{\"NextShardIterator\":\"%lld|%lld\",\"Records\":[", (long long)shard,
        (long long)(index + (count > 0 ? count : 0))
    );
    int head_bytes = snprintf(
        head, sizeof(head),
        "HTTP/1.1 200 OK\r\nx-amzn-RequestId: 7a62c49f-347e-4fc4-9331-6e8e7a96aa73\r\n"
        "Content-Type: application/x-amz-json-1.0\r\nContent-Length: %zu\r\n\r\n%s",
        (size_t)before_bytes + bytes + sizeof(after) - 1, before
    );
    if (count > 0) {
        given += count;
        pages++;
    }
    return send(fd, head, (size_t)head_bytes, MSG_NOSIGNAL | MSG_MORE) == head_bytes
           && (bytes == 0 || write_exactly(fd, page->text, bytes)) && write_exactly(fd, after, sizeof(after) - 1);
}

static bool answer_stats(int fd) {
    char text[256];
    snprintf(
        text, sizeof(text), "{\"records\": %lld, \"given\": %lld, \"pages\": %lld, \"connections\": %lld}\n",
        (long long)total, (long long)given, (long long)pages, (long long)connections
    );
    return answer_text(fd, "200 OK", text);
}

// MARK: - Requests

static bool is_operation(const char *target, const char *name) {
    size_t length = strlen(name);
    return strncmp(target, name, length) == 0 && (target[length] == '\r' || target[length] == '\0');
}

/// False when the connection must be closed.
static bool take_request(int fd, const struct message *message, struct record_page *page) {
    static const char service[] = "DynamoDBStreams_20120810.";
    struct text body = {message->body, message->body + message->body_bytes};
    const char *target = message_header(message->head, "X-Amz-Target");
    if (strncmp(message->head, "GET /stats ", 11) == 0) {
        return answer_stats(fd);
    }
    if (!target || strncmp(target, service, sizeof(service) - 1) != 0) {
        return refuse(fd, "UnknownOperationException");
    }
    target += sizeof(service) - 1;
    if (is_operation(target, "GetRecords")) {
        return answer_records(fd, body, page);
    }
    if (is_operation(target, "GetShardIterator")) {
        return answer_iterator(fd, body);
    }
    if (is_operation(target, "DescribeStream")) {
        return answer_description(fd);
    }
    if (is_operation(target, "ListStreams")) {
        char text[256];
        snprintf(text, sizeof(text), "{\"Streams\":[{\"StreamArn\":\"%s\",\"TableName\":\"bench\"}]}", STREAM);
        return answer_text(fd, "200 OK", text);
    }
    return refuse(fd, "UnknownOperationException");
}

static void *serve(void *context) {
    int fd = (int)(intptr_t)context;
    struct inbox inbox = {.bytes = malloc(MESSAGE_BYTES_MAX + 1)};
    struct record_page page;
    if (!inbox.bytes) {
        die("no room for a connection");
    }
    record_page_make(&page);
    bool is_open = true;
    while (is_open) {
        ssize_t count = recv(fd, inbox.bytes + inbox.used, MESSAGE_BYTES_MAX - inbox.used, 0);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count <= 0) {
            break;
        }
        inbox.used += (size_t)count;
        inbox.bytes[inbox.used] = '\0';
        struct message message;
        while (is_open && message_next(&inbox, &message)) {
            is_open = take_request(fd, &message, &page);
            message_remove(&inbox, &message);
        }
    }
    close(fd);
    free(inbox.bytes);
    free(page.text);
    return NULL;
}

static void *accept_all(void *context) {
    int listener = (int)(intptr_t)context;
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        pthread_t thread;
        if (fd < 0) {
            continue;
        }
        set_no_delay(fd);
        connections++;
        if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd) != 0) {
            die("no thread for a connection");
        }
        pthread_detach(thread);
    }
    return NULL;
}

int main(int argc, char **argv) {
    const struct setting settings[] = {
        {"--records", SETTING_INTEGER, &total, "records in all shards (1000000)"},
        {"--shards", SETTING_INTEGER, &shards, "open shards, up to 256 (4)"},
        {"--page", SETTING_INTEGER, &page_max, "records of a page at most, up to 1000 (1000)"},
        {"--item-bytes", SETTING_INTEGER, &item_bytes, "bytes of text in an item (256)"},
        {NULL, 0, NULL, NULL},
    };
    settings_read(argc, argv, settings);
    bool pages_fit = page_max >= 1 && page_max <= PAGE_MAX && item_bytes >= 1 && item_bytes <= 65536;
    if (total < 1 || shards < 1 || shards > SHARDS_MAX || !pages_fit) {
        die("give at least one of --records, 1 to %d --shards, 1 to %d --page, and 1 to 65536 --item-bytes",
            SHARDS_MAX, PAGE_MAX);
    }
    int stop_fd = stop_signal_fd();
    uint16_t port = 0;
    pthread_t thread;
    int listener = listen_on("", &port);
    if (pthread_create(&thread, NULL, accept_all, (void *)(intptr_t)listener) != 0) {
        die("no thread for connections");
    }
    printf("{\"port\": %d, \"records\": %lld, \"shards\": %lld}\n", (int)port, (long long)total, (long long)shards);
    fflush(stdout);
    wait_for_stop(stop_fd);
    return 0;
}
