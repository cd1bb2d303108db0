// SPDX-License-Identifier: Apache-2.0
//
// What Swift cannot import of libpq: constants that are characters, and callbacks that ignore what they get.
#ifndef PENSTOCK_CLIBPQ_H
#define PENSTOCK_CLIBPQ_H

#include <poll.h>
#include <string.h>
#include <libpq-fe.h>

static inline void penstock_pq_ignore(void *context, const PGresult *notice) {
    (void)context;
    (void)notice;
}

/// Notices of the server go nowhere; libpq would print them to stderr.
static inline void penstock_pq_silence(PGconn *connection) {
    PQsetNoticeReceiver(connection, penstock_pq_ignore, NULL);
}

/// The SQLSTATE of a result that is an error; NULL when it has none.
static inline const char *penstock_pq_sqlstate(const PGresult *result) {
    return PQresultErrorField(result, PG_DIAG_SQLSTATE);
}

/// The one sentence of an error; NULL when it did not come from the server.
static inline const char *penstock_pq_primary(const PGresult *result) {
    return PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
}

/// What the server advises; NULL for nothing.
static inline const char *penstock_pq_hint(const PGresult *result) {
    return PQresultErrorField(result, PG_DIAG_MESSAGE_HINT);
}

/// Where the error was, innermost first, a line for each place; NULL when that is not known.
static inline const char *penstock_pq_context(const PGresult *result) {
    return PQresultErrorField(result, PG_DIAG_CONTEXT);
}

/// Whether a function in PL/pgSQL raised the error by itself, with words of its own (RAISE, ASSERT).
static inline int penstock_pq_is_raised(const PGresult *result) {
    const char *function = PQresultErrorField(result, PG_DIAG_SOURCE_FUNCTION);
    return function && (!strcmp(function, "exec_stmt_raise") || !strcmp(function, "exec_stmt_assert"));
}

/// Waits until a socket can be read or written, or the time is over; 0 then.
static inline int penstock_pq_wait(int socket, int forWriting, int milliseconds) {
    struct pollfd entry = {socket, forWriting ? POLLOUT : POLLIN, 0};
    return poll(&entry, 1, milliseconds);
}

#endif
