// SPDX-License-Identifier: Apache-2.0
//
// What a session that listens can receive at most: libpq alone, which counts notifications and keeps none.
//
// Listens, prints {"listening": true}, and ends with its figures when it has got as many as it was told to wait for. The
// clock runs from the first one to the last one.
#include "bench.h"

#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

static PGconn *connected(const char *database) {
    PGconn *connection = PQconnectdb(database);
    if (PQstatus(connection) != CONNECTION_OK) {
        die("%s", PQerrorMessage(connection));
    }
    return connection;
}

static void run(PGconn *connection, const char *sql) {
    PGresult *result = PQexec(connection, sql);
    if (PQresultStatus(result) != PGRES_COMMAND_OK) {
        die("%s", PQerrorMessage(connection));
    }
    PQclear(result);
}

int main(int argc, char **argv) {
    const char *database = NULL;
    int64_t expected = 0;
    const struct setting settings[] = {
        {"--database", SETTING_TEXT, &database, "connection string"},
        {"--notifications", SETTING_INTEGER, &expected, "how many to wait for"},
        {NULL, 0, NULL, NULL},
    };
    settings_read(argc, argv, settings);
    if (!database || expected < 1) {
        die("give --database and --notifications");
    }
    PGconn *connection = connected(database);
    run(connection, "LISTEN bench");
    printf("{\"listening\": true}\n");
    fflush(stdout);
    int64_t count = 0, bytes = 0, began = 0, cpu = 0;
    while (count < expected) {
        struct pollfd entry = {PQsocket(connection), POLLIN, 0};
        if (poll(&entry, 1, 60000) != 1 || !PQconsumeInput(connection)) {
            die("after %lld notifications nothing came: %s", (long long)count, PQerrorMessage(connection));
        }
        PGnotify *notify;
        while (count < expected && (notify = PQnotifies(connection))) {
            if (count == 0) {
                began = now_ns();
                cpu = cpu_us();
            }
            count++;
            bytes += (int64_t)strlen(notify->extra);
            PQfreemem(notify);
        }
    }
    double seconds = (double)(now_ns() - began) / 1e9;
    double used = (double)(cpu_us() - cpu);
    PQfinish(connection);
    printf(
        "{\"records\": %lld, \"bytes\": %lld, \"seconds\": %.6f, \"records_per_second\": %.0f, "
        "\"cpu_us_per_record\": %.4f}\n",
        (long long)count, (long long)bytes, seconds, (double)count / seconds, used / (double)count);
    return 0;
}
