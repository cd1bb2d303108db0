// SPDX-License-Identifier: Apache-2.0
//
// librdkafka with errors that end the program.
#ifndef PENSTOCK_BENCH_KAFKA_H
#define PENSTOCK_BENCH_KAFKA_H

#include "bench.h"

#include <librdkafka/rdkafka.h>

/// Sets one property; exits 1 when librdkafka refuses it.
static inline void kafka_property(rd_kafka_conf_t *configuration, const char *name, const char *value) {
    char error[256];
    if (rd_kafka_conf_set(configuration, name, value, error, sizeof(error)) != RD_KAFKA_CONF_OK) {
        die("%s=%s: %s", name, value, error);
    }
}

/// Makes a client and takes over `configuration`; exits 1 on failure.
static inline rd_kafka_t *kafka_client(rd_kafka_type_t type, rd_kafka_conf_t *configuration) {
    char error[256];
    rd_kafka_t *client = rd_kafka_new(type, configuration, error, sizeof(error));
    if (!client) {
        die("rd_kafka_new: %s", error);
    }
    return client;
}

/// The consumer's properties, the same for the peer and for `penstock-bench kafka` (README.md lists them).
static inline rd_kafka_conf_t *kafka_consumer_configuration(const char *brokers, const char *group) {
    rd_kafka_conf_t *configuration = rd_kafka_conf_new();
    kafka_property(configuration, "bootstrap.servers", brokers);
    kafka_property(configuration, "group.id", group);
    kafka_property(configuration, "auto.offset.reset", "earliest");
    kafka_property(configuration, "enable.auto.commit", "false");
    kafka_property(configuration, "enable.auto.offset.store", "false");
    return configuration;
}

#endif
