// SPDX-License-Identifier: Apache-2.0
//
// The ceiling of reading Kafka with librdkafka: rd_kafka_consume_batch_queue, count, destroy.
//
// The clock runs from the first record to the last, so that joining a group is not counted. Each round reads
// the whole topic again: by assign() from the beginning, or as a new consumer group with `--group`.
//
// Prints {"records", "bytes", "seconds", "records_per_second", "cpu_us_per_record", "max_rss_kb"}.
#include "kafka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POLL_MS = 2, BATCH_MAX = 100000 };
static const int64_t silence_max_ns = 30LL * 1000000000;

struct reading {
    const char *brokers, *topic, *group, *fetch_wait, *queued;
    int64_t records, rounds, batch;
};

struct total {
    int64_t records, bytes, first_ns, last_ns, first_cpu_us, last_cpu_us;
};

static int32_t partition_count(rd_kafka_t *client, const char *topic) {
    const struct rd_kafka_metadata *metadata;
    rd_kafka_topic_t *handle = rd_kafka_topic_new(client, topic, NULL);
    rd_kafka_resp_err_t error = rd_kafka_metadata(client, 0, handle, &metadata, 10000);
    if (error || metadata->topic_cnt != 1 || metadata->topics[0].partition_cnt == 0) {
        die("metadata of %s: %s", topic, rd_kafka_err2str(error));
    }
    int32_t count = metadata->topics[0].partition_cnt;
    rd_kafka_metadata_destroy(metadata);
    rd_kafka_topic_destroy(handle);
    return count;
}

static void start(rd_kafka_t *client, const struct reading *reading) {
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_resp_err_t error;
    if (reading->group) {
        rd_kafka_topic_partition_list_add(list, reading->topic, RD_KAFKA_PARTITION_UA);
        error = rd_kafka_subscribe(client, list);
    } else {
        int32_t last = partition_count(client, reading->topic) - 1;
        rd_kafka_topic_partition_list_add_range(list, reading->topic, 0, last);
        for (int index = 0; index < list->cnt; index++) {
            list->elems[index].offset = RD_KAFKA_OFFSET_BEGINNING;
        }
        error = rd_kafka_assign(client, list);
    }
    if (error) {
        die("%s: %s", reading->topic, rd_kafka_err2str(error));
    }
    rd_kafka_topic_partition_list_destroy(list);
}

static void take(struct total *total, rd_kafka_message_t **messages, ssize_t count) {
    for (ssize_t index = 0; index < count; index++) {
        if (messages[index]->err) {
            die("consume: %s", rd_kafka_message_errstr(messages[index]));
        }
        total->bytes += (int64_t)(messages[index]->len + messages[index]->key_len);
        rd_kafka_message_destroy(messages[index]);
    }
    total->records += count;
}

/// Reads `reading->records` records. The short time-out matters: 2.0.2 waits all of it unless the array is
/// filled.
static struct total drain(rd_kafka_queue_t *queue, const struct reading *reading) {
    static rd_kafka_message_t *messages[BATCH_MAX];
    struct total total = {0};
    int64_t heard_ns = now_ns();
    while (total.records < reading->records) {
        ssize_t count = rd_kafka_consume_batch_queue(queue, POLL_MS, messages, (size_t)reading->batch);
        if (count > 0) {
            heard_ns = now_ns();
            if (total.first_ns == 0) {
                total.first_ns = heard_ns;
                total.first_cpu_us = cpu_us();
            }
            take(&total, messages, count);
        } else if (now_ns() - heard_ns > silence_max_ns) {
            die("no record for 30 s after %lld of %lld", (long long)total.records,
                (long long)reading->records);
        }
    }
    total.last_ns = now_ns();
    total.last_cpu_us = cpu_us();
    return total;
}

static struct total read_topic(const struct reading *reading, int64_t round) {
    char group[128];
    const char *stem = reading->group ? reading->group : "kafka-null";
    snprintf(group, sizeof(group), "%s-%lld", stem, (long long)round);
    rd_kafka_conf_t *configuration = kafka_consumer_configuration(reading->brokers, group);
    kafka_property(configuration, "fetch.wait.max.ms", reading->fetch_wait);
    kafka_property(configuration, "queued.min.messages", reading->queued);
    rd_kafka_t *client = kafka_client(RD_KAFKA_CONSUMER, configuration);
    rd_kafka_poll_set_consumer(client);
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(client);
    start(client, reading);
    struct total total = drain(queue, reading);
    rd_kafka_queue_destroy(queue);
    rd_kafka_consumer_close(client);
    rd_kafka_destroy(client);
    return total;
}

int main(int argc, char **argv) {
    struct reading reading = {
        .topic = "bench", .fetch_wait = "5", .queued = "1000000", .rounds = 1, .batch = 1000,
    };
    const struct setting settings[] = {
        {"--brokers", SETTING_TEXT, &reading.brokers, "bootstrap servers"},
        {"--topic", SETTING_TEXT, &reading.topic, "topic (bench)"},
        {"--group", SETTING_TEXT, &reading.group, "join as this group; without it assign() is used"},
        {"--records", SETTING_INTEGER, &reading.records, "records of a round"},
        {"--rounds", SETTING_INTEGER, &reading.rounds, "how often the topic is read (1)"},
        {"--batch", SETTING_INTEGER, &reading.batch, "most records of a call, up to 100000 (1000)"},
        {"--fetch-wait-ms", SETTING_TEXT, &reading.fetch_wait, "fetch.wait.max.ms (5)"},
        {"--queued-min", SETTING_TEXT, &reading.queued, "queued.min.messages (1000000)"},
        {NULL, 0, NULL, NULL},
    };
    settings_read(argc, argv, settings);
    if (!reading.brokers || reading.records < 1 || reading.batch < 1 || reading.batch > BATCH_MAX) {
        die("give --brokers, --records and a --batch of 1 to %d", BATCH_MAX);
    }
    int64_t records = 0, bytes = 0, nanoseconds = 0, cpu = 0;
    for (int64_t round = 0; round < reading.rounds; round++) {
        struct total total = read_topic(&reading, round);
        records += total.records;
        bytes += total.bytes;
        nanoseconds += total.last_ns - total.first_ns;
        cpu += total.last_cpu_us - total.first_cpu_us;
    }
    double seconds = (double)nanoseconds / 1e9;
    printf("{\"records\": %lld, \"bytes\": %lld, \"seconds\": %.6f, \"records_per_second\": %.0f, "
           "\"cpu_us_per_record\": %.4f, \"max_rss_kb\": %ld}\n",
           (long long)records, (long long)bytes, seconds, (double)records / seconds,
           (double)cpu / (double)records, max_rss_kb());
    return 0;
}
