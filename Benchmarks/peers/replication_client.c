// SPDX-License-Identifier: Apache-2.0
//
// What a reader of changes can receive at most: the stream of a replication slot (pgoutput, protocol version 1) by libpq
// alone, which counts inserted rows and commits, looks at no value, and confirms where it is each second and at the end.
//
// Ends with its figures after the commit that completes the rows it was told to wait for. The clock runs from the first
// row to that.
#include "bench.h"

#include <endian.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

enum { WAL_HEADER = 25, KEEPALIVE_SIZE = 18, STATUS_SIZE = 34 };

static int64_t number_at(const char *bytes) {
    uint64_t value;
    memcpy(&value, bytes, sizeof(value));
    return (int64_t)be64toh(value);
}

static void put_number(char *bytes, int64_t value) {
    uint64_t swapped = htobe64((uint64_t)value);
    memcpy(bytes, &swapped, sizeof(swapped));
}

/// Standby status update: written, flushed and applied up to `position`.
static void confirm(PGconn *connection, int64_t position) {
    char message[STATUS_SIZE] = {'r'};
    for (int part = 0; part < 3; part++) {
        put_number(message + 1 + 8 * part, position);
    }
    if (PQputCopyData(connection, message, sizeof(message)) != 1 || PQflush(connection) != 0) {
        die("%s", PQerrorMessage(connection));
    }
}

struct progress {
    int64_t rows, commits, bytes, position, began, cpu, confirmed;
};

static void take(PGconn *connection, struct progress *progress, const char *message, int length) {
    if (length >= KEEPALIVE_SIZE && message[0] == 'k') {
        if (message[KEEPALIVE_SIZE - 1]) {
            confirm(connection, progress->position);
        }
        return;
    }
    if (length <= WAL_HEADER || message[0] != 'w') {
        return;
    }
    switch (message[WAL_HEADER]) {
    case 'I':
        if (progress->rows == 0) {
            progress->began = progress->confirmed = now_ns();
            progress->cpu = cpu_us();
        }
        progress->rows++;
        progress->bytes += length - WAL_HEADER;
        break;
    case 'C':
        // Flags, the commit's position, the end of the transaction.
        progress->commits++;
        progress->position = number_at(message + WAL_HEADER + 10);
        break;
    }
}

int main(int argc, char **argv) {
    const char *database = NULL, *slot = "bench", *publication = "bench";
    int64_t expected = 0;
    const struct setting settings[] = {
        {"--database", SETTING_TEXT, &database, "connection string with replication=database"},
        {"--slot", SETTING_TEXT, &slot, "logical replication slot (bench)"},
        {"--publication", SETTING_TEXT, &publication, "publication (bench)"},
        {"--rows", SETTING_INTEGER, &expected, "how many rows to wait for"},
        {NULL, 0, NULL, NULL},
    };
    settings_read(argc, argv, settings);
    if (!database || expected < 1) {
        die("give --database and --rows");
    }
    PGconn *connection = PQconnectdb(database);
    if (PQstatus(connection) != CONNECTION_OK) {
        die("%s", PQerrorMessage(connection));
    }
    char command[512];
    snprintf(command, sizeof(command),
             "START_REPLICATION SLOT \"%s\" LOGICAL 0/0 (proto_version '1', publication_names '\"%s\"')", slot,
             publication);
    PGresult *result = PQexec(connection, command);
    if (PQresultStatus(result) != PGRES_COPY_BOTH) {
        die("%s", PQerrorMessage(connection));
    }
    PQclear(result);
    struct progress progress = {0};
    int64_t commits_of_all = -1;
    while (commits_of_all != progress.commits) {
        char *message = NULL;
        int length = PQgetCopyData(connection, &message, 1);
        if (length > 0) {
            int64_t commits = progress.commits;
            take(connection, &progress, message, length);
            PQfreemem(message);
            if (progress.rows >= expected && commits_of_all < 0) {
                commits_of_all = commits + 1;
            }
            continue;
        }
        if (length < 0) {
            die("the stream has ended: %s", PQerrorMessage(connection));
        }
        if (progress.rows > 0 && now_ns() - progress.confirmed > 1000000000) {
            confirm(connection, progress.position);
            progress.confirmed = now_ns();
        }
        struct pollfd entry = {PQsocket(connection), POLLIN, 0};
        if (poll(&entry, 1, 60000) != 1 || !PQconsumeInput(connection)) {
            die("after %lld rows nothing came: %s", (long long)progress.rows, PQerrorMessage(connection));
        }
    }
    confirm(connection, progress.position);
    double seconds = (double)(now_ns() - progress.began) / 1e9;
    double used = (double)(cpu_us() - progress.cpu);
    // The server takes the confirmation before it sees the end.
    PQputCopyEnd(connection, NULL);
    PQflush(connection);
    PQfinish(connection);
    printf(
        "{\"records\": %lld, \"bytes\": %lld, \"seconds\": %.6f, \"records_per_second\": %.0f, "
        "\"cpu_us_per_record\": %.4f}\n",
        (long long)progress.rows, (long long)progress.bytes, seconds, (double)progress.rows / seconds,
        used / (double)progress.rows);
    return 0;
}
