// SPDX-License-Identifier: Apache-2.0

import CLibpq
import PenstockCore

/// Owns one of libpq's connections; every call to libpq about it is here.
///
/// Closed when the last reference goes: whoever watches its socket stops that first, because the number of the descriptor
/// is used again at once.
@safe
final class PostgresHandle: @unchecked Sendable {
    // @unchecked: passed from the thread that connected to the reactor's, and touched by one of them at a time.
    private let connection: OpaquePointer

    /// What PQgetResult brought.
    enum Outcome {
        case rows(PostgresResult)
        case failure(PostgresError)
        /// The server sends data from now on, and takes some (COPY in both directions).
        case copyBoth(PostgresResult)
        /// The server sends rows from now on (COPY … TO STDOUT).
        case copyOut
        /// COPY … FROM STDIN, which nobody here speaks.
        case unsupported
    }

    private init(_ connection: OpaquePointer) {
        unsafe self.connection = connection
    }

    deinit { unsafe PQfinish(self.connection) }

    // MARK: - Connecting

    /// Connects, and blocks the thread meanwhile: libpq looks up names and reads files in the calls of it, so that it
    /// cannot be done on a thread that others need.
    ///
    /// - Parameters:
    ///   - address: Where to; its hosts are tried in turn, each with its share of the time.
    ///   - milliseconds: How long it may take in all.
    /// - Returns: A connection that does not block, or why there is none.
    static func connect(
        _ address: PostgresAddress,
        within milliseconds: Int
    ) -> Result<
        PostgresHandle, PostgresError
    > {
        let attempts = address.attempts
        var last = PostgresError(.unreachable, "no host is configured")
        for parameters in attempts {
            switch Self.connect(parameters, within: max(1, milliseconds / attempts.count)) {
            case .success(let handle): return .success(handle)
            case .failure(let error): last = error
            }
        }
        return .failure(last)
    }

    private static func connect(
        _ parameters: [String: String],
        within milliseconds: Int
    ) -> Result<
        PostgresHandle, PostgresError
    > {
        guard let connection = unsafe Self.start(parameters) else {
            return .failure(PostgresError(.unreachable, "no memory for a connection"))
        }
        let handle = unsafe PostgresHandle(connection)
        // The only way to learn the SQLSTATE of a refusal.
        unsafe PQsetErrorVerbosity(connection, PQERRORS_VERBOSE)
        unsafe penstock_pq_silence(connection)
        let deadline = ContinuousClock.now + .milliseconds(milliseconds)
        var isWriting = true
        while unsafe PQstatus(connection) != CONNECTION_BAD {
            let left = Int32(clamping: (deadline - ContinuousClock.now).wholeMilliseconds)
            let ready = left > 0 ? unsafe penstock_pq_wait(PQsocket(connection), isWriting ? 1 : 0, left) : 0
            guard ready != 0 else {
                return .failure(PostgresError(.timedOut, "no connection within \(milliseconds) ms"))
            }
            switch unsafe PQconnectPoll(connection) {
            case PGRES_POLLING_OK:
                unsafe PQsetErrorVerbosity(connection, PQERRORS_DEFAULT)
                guard unsafe PQsetnonblocking(connection, 1) == 0 else {
                    return .failure(PostgresError(.unreachable, handle.message))
                }
                return .success(handle)
            case PGRES_POLLING_READING: isWriting = false
            case PGRES_POLLING_WRITING: isWriting = true
            default: return .failure(handle.refusal)
            }
        }
        return .failure(handle.refusal)
    }

    private static func start(_ parameters: [String: String]) -> OpaquePointer? {
        let all = Array(parameters)
        let keys = unsafe CStrings(all.map(\.key))
        let values = unsafe CStrings(all.map(\.value))
        defer {
            unsafe keys.free()
            unsafe values.free()
        }
        return unsafe PQconnectStartParams(keys.pointers, values.pointers, 0)
    }

    /// What libpq says of the connection, on one line.
    private var message: String {
        let text = unsafe String(cString: PQerrorMessage(self.connection))
        let lines = text.split(separator: "\n").filter { !$0.hasPrefix("LOCATION:") }
        return lines.map { $0.trimmingBlanks }.joined(separator: "; ")
    }

    /// Why a connection was not made.
    private var refusal: PostgresError {
        let text = self.message
        // FATAL:  28P01: password authentication failed for user "app"
        if let match = text.firstMatch(of: #/:  ([0-9A-Z]{5}): /#) {
            let message = text.replacing(match.output.0, with: ": ")
            return PostgresError(sqlState: String(match.output.1), message: message, hint: nil)
        }
        let needsPassword = unsafe PQconnectionNeedsPassword(self.connection) != 0
        return PostgresError(needsPassword ? .unauthorized : .unreachable, text)
    }

    // MARK: - What it is

    /// Its descriptor, which changes no more once it is connected.
    var socket: Int32 { unsafe PQsocket(self.connection) }

    /// The version of the server, such as 150004; 0 when it said none.
    var serverVersion: Int { Int(unsafe PQserverVersion(self.connection)) }

    /// The server process behind it, as the protocol announced it.
    var backend: Int32 { unsafe PQbackendPID(self.connection) }

    /// A setting that the server reports on its own, such as `in_hot_standby`.
    func parameter(_ name: String) -> String? {
        unsafe PQparameterStatus(self.connection, name).map { unsafe String(cString: $0) }
    }

    /// Whether it is encrypted.
    var isEncrypted: Bool { unsafe PQsslInUse(self.connection) != 0 }

    /// Why it is no longer usable.
    var loss: PostgresError {
        let text = self.message
        return PostgresError(.connectionLost, text.isEmpty ? "the server closed the connection" : text)
    }

    // MARK: - Statements

    /// Sends a statement, of which one may be under way.
    func send(_ query: PostgresQuery) throws(PostgresError) {
        guard !query.sql.utf8.contains(0) else {
            throw PostgresError(.invalid, "a statement must not hold a NUL")
        }
        guard query.isScript || !query.parameters.isEmpty || query.format == .binary else {
            let sent = unsafe PQsendQueryParams(self.connection, query.sql, 0, nil, nil, nil, nil, 0)
            return try self.check(sent)
        }
        if query.isScript { return try self.check(unsafe PQsendQuery(self.connection, query.sql)) }
        let arguments = try unsafe Arguments(query.parameters)
        defer { unsafe arguments.free() }
        try self.check(
            unsafe PQsendQueryParams(
                self.connection,
                query.sql,
                Int32(query.parameters.count),
                nil,
                arguments.values.baseAddress,
                arguments.lengths.baseAddress,
                arguments.formats.baseAddress,
                query.format.rawValue
            )
        )
    }

    private func check(_ sent: Int32) throws(PostgresError) {
        if sent == 0 { throw self.loss }
    }

    /// Sends what is still to be sent; whether anything is left, nil when the connection is broken.
    func flush() -> Bool? {
        switch unsafe PQflush(self.connection) {
        case 0: false
        case 1: true
        default: nil
        }
    }

    /// Takes in what has arrived; false when the connection is broken.
    func consume() -> Bool { unsafe PQconsumeInput(self.connection) == 1 }

    /// Whether the next result has not arrived whole.
    var isBusy: Bool { unsafe PQisBusy(self.connection) == 1 }

    /// Whether libpq has given the connection up.
    var isBroken: Bool { unsafe PQstatus(self.connection) == CONNECTION_BAD }

    /// The next result of the statement under way; nil when that was its last.
    func nextOutcome() -> Outcome? {
        guard let result = unsafe PQgetResult(self.connection) else { return nil }
        switch unsafe PQresultStatus(result) {
        case PGRES_TUPLES_OK, PGRES_COMMAND_OK, PGRES_EMPTY_QUERY:
            return .rows(unsafe PostgresResult(result))
        case PGRES_COPY_BOTH: return .copyBoth(unsafe PostgresResult(result))
        case PGRES_COPY_OUT:
            unsafe PQclear(result)
            return .copyOut
        case PGRES_COPY_IN:
            unsafe PQclear(result)
            return .unsupported
        default:
            defer { unsafe PQclear(result) }
            return .failure(unsafe Self.error(of: result) ?? self.loss)
        }
    }

    // MARK: - COPY

    /// Gives the next message of a COPY that has arrived whole to `body`, which may look at its bytes during the call.
    func nextCopy(_ body: (UnsafeRawBufferPointer) -> Void) -> CopyArrival {
        var buffer: UnsafeMutablePointer<CChar>?
        let count = unsafe PQgetCopyData(self.connection, &buffer, 1)
        guard count > 0, let start = unsafe buffer else {
            return count == 0 ? .nothing : count == -1 ? .ended : .broken
        }
        defer { unsafe PQfreemem(start) }
        unsafe body(UnsafeRawBufferPointer(start: start, count: Int(count)))
        return .message
    }

    /// Sends a message of a COPY; false when the connection is broken.
    func putCopy(_ bytes: [UInt8]) -> Bool {
        unsafe bytes.withUnsafeBytes { buffer in
            let start = unsafe buffer.baseAddress?.assumingMemoryBound(to: CChar.self)
            return unsafe PQputCopyData(self.connection, start, Int32(clamping: buffer.count)) == 1
        }
    }

    private static func error(of result: OpaquePointer) -> PostgresError? {
        guard let state = unsafe penstock_pq_sqlstate(result), let text = unsafe penstock_pq_primary(result)
        else { return nil }
        if unsafe penstock_pq_is_raised(result) != 0 {
            let context = unsafe penstock_pq_context(result).map { unsafe String(cString: $0) } ?? ""
            // Lines further out can be statements with values in them.
            let place = context.split(separator: "\n").first.map { String($0) } ?? ""
            return PostgresError(
                raised: unsafe String(cString: state),
                at: place.hasPrefix("PL/pgSQL function ") ? place : ""
            )
        }
        let hint = unsafe penstock_pq_hint(result).map { unsafe String(cString: $0) }
        return PostgresError(
            sqlState: unsafe String(cString: state),
            message: unsafe String(cString: text),
            hint: hint
        )
    }

    /// The next notification that has arrived; nil for none.
    func nextNotification() -> PostgresNotification? {
        guard let notify = unsafe PQnotifies(self.connection) else { return nil }
        defer { unsafe PQfreemem(notify) }
        let payload = unsafe notify.pointee.extra.map { unsafe Array(String(cString: $0).utf8) }
        return PostgresNotification(
            channel: unsafe String(cString: notify.pointee.relname),
            payload: payload ?? [],
            backend: unsafe notify.pointee.be_pid
        )
    }

    /// What tells the server to give up the statement under way.
    func cancellation() -> PostgresCancellation? {
        unsafe PQgetCancel(self.connection).map { unsafe PostgresCancellation($0) }
    }
}

/// What there is of a COPY.
package enum CopyArrival: Sendable {
    /// A message, which was given away.
    case message
    /// Nothing whole yet.
    case nothing
    /// The server has ended it.
    case ended
    /// The connection is gone.
    case broken
}

/// Tells the server to give up the statement that a connection has under way.
@safe
final class PostgresCancellation: @unchecked Sendable {
    // @unchecked: libpq allows it from any thread, and only `deinit` frees it.
    private let cancel: OpaquePointer

    fileprivate init(_ cancel: OpaquePointer) {
        unsafe self.cancel = cancel
    }

    deinit { unsafe PQfreeCancel(self.cancel) }

    /// Connects, tells the server, and waits until it has heard: blocks the thread.
    func send() {
        var message = [CChar](repeating: 0, count: 256)
        _ = unsafe PQcancel(self.cancel, &message, Int32(message.count))
    }
}

extension StringProtocol {
    fileprivate var trimmingBlanks: String {
        var text = self[...]
        while text.first?.isWhitespace == true { text = text.dropFirst() }
        while text.last?.isWhitespace == true { text = text.dropLast() }
        return String(text)
    }
}
