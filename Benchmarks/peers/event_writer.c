// SPDX-License-Identifier: Apache-2.0
//
// The event of a Kafka batch, written by C: base64 through a table of 12-bit pairs (no vector instructions),
// header bytes through a table of "NNN," texts, one buffer with an upper bound known before the first byte.
//
// Prints {"events", "records", "bytes", "us_per_record", "mb_per_second", "cpu_us_per_record"}, or one event
// with `--print` (the body that other peers POST).
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct record {
    int64_t offset, timestamp;
    const uint8_t *key, *value, *header;
    size_t key_bytes, value_bytes, header_bytes;
};

struct batch {
    const char *topic, *bootstrap;
    int64_t partition, count;
    struct record *records;
};

static char pairs[4096][2];
static struct { char text[5]; uint8_t length; } signed_bytes[256];

static void make_tables(void) {
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (int index = 0; index < 4096; index++) {
        pairs[index][0] = alphabet[index >> 6];
        pairs[index][1] = alphabet[index & 63];
    }
    for (int index = 0; index < 256; index++) {
        char text[8];
        int length = snprintf(text, sizeof(text), "%d,", index < 128 ? index : index - 256);
        memcpy(signed_bytes[index].text, text, (size_t)length);
        signed_bytes[index].length = (uint8_t)length;
    }
}

static char *put(char *out, const char *text, size_t count) {
    memcpy(out, text, count);
    return out + count;
}

#define PUT(out, literal) put((out), (literal), sizeof(literal) - 1)

static char *put_integer(char *out, int64_t value) {
    char digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    return put(out, digits + at, sizeof(digits) - at);
}

static char *put_base64(char *out, const uint8_t *bytes, size_t count) {
    size_t at = 0;
    for (; at + 3 <= count; at += 3, out += 4) {
        uint32_t group = (uint32_t)bytes[at] << 16 | (uint32_t)bytes[at + 1] << 8 | bytes[at + 2];
        memcpy(out, pairs[group >> 12], 2);
        memcpy(out + 2, pairs[group & 4095], 2);
    }
    if (count - at == 2) {
        uint32_t group = (uint32_t)bytes[at] << 16 | (uint32_t)bytes[at + 1] << 8;
        memcpy(out, pairs[group >> 12], 2);
        out[2] = pairs[group & 4095][0];
        out[3] = '=';
        out += 4;
    } else if (count - at == 1) {
        memcpy(out, pairs[(uint32_t)bytes[at] << 4], 2);
        out[2] = out[3] = '=';
        out += 4;
    }
    return out;
}

static char *put_header(char *out, const uint8_t *bytes, size_t count) {
    out = PUT(out, "{\"traceparent\":[");
    for (size_t index = 0; index < count; index++) {
        memcpy(out, signed_bytes[bytes[index]].text, sizeof(signed_bytes[0].text));
        out += signed_bytes[bytes[index]].length;
    }
    if (count > 0) {
        out--;
    }
    return PUT(out, "]}");
}

static char *put_record(char *out, const struct batch *batch, const struct record *record) {
    out = PUT(out, "{\"topic\":\"");
    out = put(out, batch->topic, strlen(batch->topic));
    out = PUT(out, "\",\"partition\":");
    out = put_integer(out, batch->partition);
    out = PUT(out, ",\"offset\":");
    out = put_integer(out, record->offset);
    out = PUT(out, ",\"timestamp\":");
    out = put_integer(out, record->timestamp);
    out = PUT(out, ",\"timestampType\":\"CREATE_TIME\"");
    if (record->key_bytes > 0) {
        out = PUT(out, ",\"key\":\"");
        out = put_base64(out, record->key, record->key_bytes);
        out = PUT(out, "\"");
    }
    out = PUT(out, ",\"value\":\"");
    out = put_base64(out, record->value, record->value_bytes);
    out = PUT(out, "\",\"headers\":[");
    if (record->header_bytes > 0) {
        out = put_header(out, record->header, record->header_bytes);
    }
    return PUT(out, "]},");
}

static size_t write_event(char *buffer, const struct batch *batch) {
    char *out = PUT(buffer, "{\"eventSource\":\"SelfManagedKafka\",\"bootstrapServers\":\"");
    out = put(out, batch->bootstrap, strlen(batch->bootstrap));
    out = PUT(out, "\",\"records\":{\"");
    out = put(out, batch->topic, strlen(batch->topic));
    out = PUT(out, "-");
    out = put_integer(out, batch->partition);
    out = PUT(out, "\":[");
    for (int64_t index = 0; index < batch->count; index++) {
        out = put_record(out, batch, &batch->records[index]);
    }
    out = PUT(out - 1, "]}}");
    return (size_t)(out - buffer);
}

/// The most bytes an event of this batch can take.
static size_t upper_bound(const struct batch *batch) {
    size_t names = strlen(batch->topic) + strlen(batch->bootstrap), bound = 256 + 2 * names;
    for (int64_t index = 0; index < batch->count; index++) {
        const struct record *record = &batch->records[index];
        size_t base64 = (record->key_bytes + record->value_bytes + 6) / 3 * 4;
        bound += 320 + names + base64 + record->header_bytes * 5;
    }
    return bound;
}

static struct batch make_batch(int64_t count, int64_t value_bytes, int64_t key_bytes, bool header) {
    static const uint8_t traceparent[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    struct batch batch = {.topic = "bench", .bootstrap = "127.0.0.1:9092", .partition = 7, .count = count};
    batch.records = calloc((size_t)count, sizeof(*batch.records));
    uint32_t random = 12345;
    for (int64_t index = 0; index < count; index++) {
        uint8_t *bytes = malloc((size_t)(value_bytes + key_bytes) + 1);
        for (int64_t at = 0; at < value_bytes + key_bytes; at++) {
            random = random * 1664525 + 1013904223;
            bytes[at] = (uint8_t)(random >> 24);
        }
        batch.records[index] = (struct record){
            .offset = 1000000 + index, .timestamp = 1773478830250 + index, .value = bytes,
            .value_bytes = (size_t)value_bytes, .key = bytes + value_bytes, .key_bytes = (size_t)key_bytes,
            .header = traceparent, .header_bytes = header ? sizeof(traceparent) - 1 : 0,
        };
    }
    return batch;
}

int main(int argc, char **argv) {
    int64_t records = 100, value_bytes = 1024, key_bytes = 0;
    double seconds = 1;
    bool header = false, print = false;
    const struct setting settings[] = {
        {"--records", SETTING_INTEGER, &records, "records of a batch (100)"},
        {"--value-bytes", SETTING_INTEGER, &value_bytes, "bytes of a value (1024)"},
        {"--key-bytes", SETTING_INTEGER, &key_bytes, "bytes of a key; 0 = no key (0)"},
        {"--header", SETTING_FLAG, &header, "with one traceparent header of 55 bytes"},
        {"--seconds", SETTING_REAL, &seconds, "how long (1)"},
        {"--print", SETTING_FLAG, &print, "print one event instead of measuring"},
        {NULL, 0, NULL, NULL},
    };
    settings_read(argc, argv, settings);
    if (records < 1 || value_bytes < 0 || key_bytes < 0) {
        die("give at least one record and no negative sizes");
    }
    make_tables();
    struct batch batch = make_batch(records, value_bytes, key_bytes, header);
    char *buffer = malloc(upper_bound(&batch));
    size_t bytes = write_event(buffer, &batch);
    if (print) {
        fwrite(buffer, 1, bytes, stdout);
        return 0;
    }
    int64_t events = 0, cpu = cpu_us(), start = now_ns(), now = start;
    while ((double)(now - start) < seconds * 1e9) {
        for (int repeat = 0; repeat < 16; repeat++, events++) {
            bytes = write_event(buffer, &batch);
            __asm__ volatile("" : : "r"(buffer), "r"(bytes) : "memory");
        }
        now = now_ns();
    }
    double elapsed = (double)(now - start) / 1e9, total = (double)events * (double)records;
    double megabytes = (double)events * (double)bytes / 1e6;
    printf("{\"events\": %lld, \"records\": %.0f, \"bytes\": %zu, \"us_per_record\": %.4f, "
           "\"mb_per_second\": %.0f, \"cpu_us_per_record\": %.4f}\n",
           (long long)events, total, bytes, elapsed * 1e6 / total, megabytes / elapsed,
           (double)(cpu_us() - cpu) / total);
    return 0;
}
