// SPDX-License-Identifier: Apache-2.0
//
// What librdkafka itself costs while nothing happens: some consumers in groups of their own on an empty
// topic.
//
// Joins, prints {"consumers": N} and waits until standard input ends or SIGTERM comes; the driver reads the
// cost from /proc. Each consumer is polled once a second on its own thread, far less than
// max.poll.interval.ms asks for.
#include "kafka.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

enum { CONSUMERS_MAX = 64, POLL_MS = 1000 };

static atomic_bool stopping;

static void *serve(void *client) {
    while (!atomic_load(&stopping)) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(client, POLL_MS);
        if (message) {
            rd_kafka_message_destroy(message);
        }
    }
    rd_kafka_consumer_close(client);
    rd_kafka_destroy(client);
    return NULL;
}

static rd_kafka_t *subscriber(const char *brokers, const char *topic, int number) {
    char group[64];
    snprintf(group, sizeof(group), "kafka-idle-%d", number);
    rd_kafka_t *client = kafka_client(RD_KAFKA_CONSUMER, kafka_consumer_configuration(brokers, group));
    rd_kafka_poll_set_consumer(client);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t error = rd_kafka_subscribe(client, list);
    if (error) {
        die("%s: %s", topic, rd_kafka_err2str(error));
    }
    rd_kafka_topic_partition_list_destroy(list);
    return client;
}

int main(int argc, char **argv) {
    const char *brokers = NULL, *topic = "idle";
    int64_t consumers = 10;
    const struct setting settings[] = {
        {"--brokers", SETTING_TEXT, &brokers, "bootstrap servers"},
        {"--topic", SETTING_TEXT, &topic, "topic (idle)"},
        {"--consumers", SETTING_INTEGER, &consumers, "consumers, each in its own group (10)"},
        {NULL, 0, NULL, NULL},
    };
    settings_read(argc, argv, settings);
    if (!brokers || consumers < 1 || consumers > CONSUMERS_MAX) {
        die("give --brokers and 1 to %d --consumers", CONSUMERS_MAX);
    }
    int signal_fd = stop_signal_fd();
    pthread_t threads[CONSUMERS_MAX];
    for (int index = 0; index < consumers; index++) {
        rd_kafka_t *client = subscriber(brokers, topic, index);
        if (pthread_create(&threads[index], NULL, serve, client) != 0) {
            die("no thread for consumer %d", index);
        }
    }
    printf("{\"consumers\": %lld}\n", (long long)consumers);
    fflush(stdout);
    wait_for_stop(signal_fd);
    atomic_store(&stopping, true);
    for (int index = 0; index < consumers; index++) {
        pthread_join(threads[index], NULL);
    }
    return 0;
}
