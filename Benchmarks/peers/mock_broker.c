// SPDX-License-Identifier: Apache-2.0
//
// A Kafka cluster to read from: librdkafka's mock cluster in a process of its own, filled once.
//
// The mock keeps about 5 MiB a partition and silently drops what is older, and a fetch returns one produced
// batch. So it is filled with the largest batches a producer makes, spread over enough partitions, and the
// count is checked against the partitions' offsets before the cluster is announced.
//
// Prints {"bootstrap", "topic", "records", "partitions", …} and serves until standard input ends or SIGTERM
// comes. With --fill-later the topic is empty until a byte comes on standard input; {"filled": N} follows.
#include "kafka.h"

#include <librdkafka/rdkafka_mock.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PARTITION_BYTES_MAX = 4600 * 1024, RECORD_OVERHEAD = 14, HEADER_OVERHEAD = 14 };

struct load {
    const char *topic;
    int64_t records, partitions, value_bytes, key_bytes, header_bytes, brokers;
    bool later;
};

static int64_t refused_deliveries;

static void delivered(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque) {
    (void)client;
    (void)opaque;
    refused_deliveries += message->err != RD_KAFKA_RESP_ERR_NO_ERROR;
}

/// The number of partitions that holds all records without the mock dropping any.
static int64_t partitions_needed(const struct load *load) {
    int64_t record = load->value_bytes + load->key_bytes + RECORD_OVERHEAD;
    if (load->header_bytes > 0) {
        record += load->header_bytes + HEADER_OVERHEAD;
    }
    int64_t needed = (load->records * record + PARTITION_BYTES_MAX - 1) / PARTITION_BYTES_MAX;
    return needed > 0 ? needed : 1;
}

static rd_kafka_t *producer(const char *bootstrap) {
    rd_kafka_conf_t *configuration = rd_kafka_conf_new();
    kafka_property(configuration, "bootstrap.servers", bootstrap);
    kafka_property(configuration, "linger.ms", "500");
    kafka_property(configuration, "batch.num.messages", "1000000");
    kafka_property(configuration, "batch.size", "1000000");
    kafka_property(configuration, "queue.buffering.max.messages", "10000000");
    kafka_property(configuration, "queue.buffering.max.kbytes", "2097151");
    rd_kafka_conf_set_dr_msg_cb(configuration, delivered);
    return kafka_client(RD_KAFKA_PRODUCER, configuration);
}

static char *printable(int64_t count) {
    char *bytes = malloc((size_t)count + 1);
    if (!bytes) {
        die("out of memory for %lld bytes", (long long)count);
    }
    for (int64_t index = 0; index < count; index++) {
        bytes[index] = (char)('a' + index % 26);
    }
    bytes[count] = '\0';
    return bytes;
}

/// Puts the record's number into the key, as many of its last digits as there is room for.
static void number_key(char *key, int64_t key_bytes, int64_t number) {
    for (int64_t at = key_bytes - 1; at >= 0 && at >= key_bytes - 20; at--, number /= 10) {
        key[at] = (char)('0' + number % 10);
    }
}

static rd_kafka_resp_err_t produce_one(
    rd_kafka_t *client, const struct load *load, int32_t partition, const char *bytes, const char *key
) {
    rd_kafka_headers_t *headers = NULL;
    if (load->header_bytes > 0) {
        headers = rd_kafka_headers_new(1);
        rd_kafka_header_add(headers, "traceparent", -1, bytes, load->header_bytes);
    }
    rd_kafka_resp_err_t error = rd_kafka_producev(
        client, RD_KAFKA_V_TOPIC(load->topic), RD_KAFKA_V_PARTITION(partition),
        RD_KAFKA_V_VALUE((void *)bytes, (size_t)load->value_bytes),
        RD_KAFKA_V_KEY(load->key_bytes ? key : NULL, (size_t)load->key_bytes),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_END
    );
    if (error && headers) {
        rd_kafka_headers_destroy(headers);
    }
    return error;
}

/// Fills partition after partition, so that each batch is full but the last of a partition.
static void fill(rd_kafka_t *client, const struct load *load) {
    int64_t longest = load->value_bytes > load->header_bytes ? load->value_bytes : load->header_bytes;
    char *bytes = printable(longest);
    char *key = printable(load->key_bytes);
    int64_t each = (load->records + load->partitions - 1) / load->partitions;
    for (int64_t index = 0; index < load->records; index++) {
        if (load->key_bytes > 0) {
            number_key(key, load->key_bytes, index);
        }
        int32_t partition = (int32_t)(index / each);
        while (produce_one(client, load, partition, bytes, key) == RD_KAFKA_RESP_ERR__QUEUE_FULL) {
            rd_kafka_poll(client, 10);
        }
        if (index % 10000 == 0) {
            rd_kafka_poll(client, 0);
        }
    }
    if (rd_kafka_flush(client, 120000) != RD_KAFKA_RESP_ERR_NO_ERROR || refused_deliveries > 0) {
        die("the mock cluster took not all records: %lld refused", (long long)refused_deliveries);
    }
    free(bytes);
    free(key);
}

/// How many records the cluster still holds, by its own offsets.
static int64_t records_kept(rd_kafka_t *client, const struct load *load) {
    int64_t kept = 0;
    for (int32_t partition = 0; partition < load->partitions; partition++) {
        int64_t low = 0, high = 0;
        rd_kafka_resp_err_t error =
            rd_kafka_query_watermark_offsets(client, load->topic, partition, &low, &high, 10000);
        if (error) {
            die("offsets of partition %d: %s", (int)partition, rd_kafka_err2str(error));
        }
        kept += high - low;
    }
    return kept;
}

static void fill_and_verify(const char *bootstrap, const struct load *load) {
    rd_kafka_t *client = producer(bootstrap);
    fill(client, load);
    int64_t kept = records_kept(client, load);
    rd_kafka_destroy(client);
    if (kept != load->records) {
        die("the mock cluster kept %lld of %lld records: give it more partitions", (long long)kept,
            (long long)load->records);
    }
}

/// Waits for a byte on standard input; false when it ends, or a signal to stop comes first.
static bool told_to_fill(int signal_fd) {
    struct pollfd inputs[] = {{.fd = 0, .events = POLLIN}, {.fd = signal_fd, .events = POLLIN}};
    char byte;
    poll(inputs, 2, -1);
    return inputs[1].revents == 0 && read(0, &byte, 1) == 1;
}

int main(int argc, char **argv) {
    struct load load = {.topic = "bench", .records = 1000000, .value_bytes = 100, .brokers = 3};
    const struct setting settings[] = {
        {"--topic", SETTING_TEXT, &load.topic, "topic to create (bench)"},
        {"--records", SETTING_INTEGER, &load.records, "records to fill it with (1000000)"},
        {"--partitions", SETTING_INTEGER, &load.partitions, "partitions; 0 = as many as keep all (0)"},
        {"--value-bytes", SETTING_INTEGER, &load.value_bytes, "bytes of a value (100)"},
        {"--key-bytes", SETTING_INTEGER, &load.key_bytes, "bytes of a key; 0 = no key (0)"},
        {"--header-bytes", SETTING_INTEGER, &load.header_bytes, "bytes of a header; 0 = none (0)"},
        {"--brokers", SETTING_INTEGER, &load.brokers, "brokers of the cluster (3)"},
        {"--fill-later", SETTING_FLAG, &load.later, "fill when a byte comes on standard input"},
        {NULL, 0, NULL, NULL},
    };
    settings_read(argc, argv, settings);
    int signal_fd = stop_signal_fd();
    if (load.partitions == 0) {
        load.partitions = partitions_needed(&load);
    }
    rd_kafka_conf_t *quiet = rd_kafka_conf_new();
    kafka_property(quiet, "log_level", "3");
    rd_kafka_t *host = kafka_client(RD_KAFKA_PRODUCER, quiet);
    rd_kafka_mock_cluster_t *cluster = rd_kafka_mock_cluster_new(host, (int)load.brokers);
    if (!cluster) {
        die("rd_kafka_mock_cluster_new failed");
    }
    const char *bootstrap = rd_kafka_mock_cluster_bootstraps(cluster);
    rd_kafka_resp_err_t error =
        rd_kafka_mock_topic_create(cluster, load.topic, (int)load.partitions, (int)load.brokers);
    if (error) {
        die("topic %s: %s", load.topic, rd_kafka_err2str(error));
    }
    if (load.records > 0 && !load.later) {
        fill_and_verify(bootstrap, &load);
    }
    printf("{\"bootstrap\": \"%s\", \"topic\": \"%s\", \"records\": %lld, \"partitions\": %lld}\n", bootstrap,
           load.topic, (long long)load.records, (long long)load.partitions);
    fflush(stdout);
    if (load.later && told_to_fill(signal_fd)) {
        fill_and_verify(bootstrap, &load);
        printf("{\"filled\": %lld}\n", (long long)load.records);
        fflush(stdout);
    }
    wait_for_stop(signal_fd);
    rd_kafka_mock_cluster_destroy(cluster);
    rd_kafka_destroy(host);
    return 0;
}
