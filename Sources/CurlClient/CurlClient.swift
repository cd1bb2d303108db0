// SPDX-License-Identifier: Apache-2.0

import PenstockCore
package import Reactor

/// An HTTP client: libcurl's multi interface on a reactor. Transport only; it neither retries nor interprets
/// statuses.
///
/// Pinned to the reactor's thread: a caller that runs there too is resumed without a change of threads.
/// Connections are kept and used again; proxies of the environment are not used. End it with ``close()``
/// before the reactor stops.
package actor CurlClient {
    private nonisolated let reactor: Reactor
    private nonisolated let multi: CurlMulti

    /// A client whose calls run on `reactor`.
    ///
    /// - Parameters:
    ///   - reactor: Runs the calls; it outlives the client.
    ///   - connections: Idle connections kept at most; at least the number of calls in flight.
    /// - Throws: ``CurlError`` with `failed` when libcurl cannot be set up.
    package init(reactor: Reactor, connections: Int) throws(CurlError) {
        self.reactor = reactor
        self.multi = try CurlMulti(reactor: reactor, connections: max(1, connections))
    }

    deinit {
        // The handles may be touched on the loop only.
        let multi = self.multi
        self.reactor.submit { multi.close() }
    }

    package nonisolated var unownedExecutor: UnownedSerialExecutor {
        unsafe self.reactor.asUnownedSerialExecutor()
    }

    /// Sends a request and waits for the whole answer.
    ///
    /// Calls run side by side; their number is the caller's to bound.
    ///
    /// Returns once: with the answer, or at the timeout, or soon after the task is cancelled, or at
    /// ``close()``.
    package func perform(_ request: CurlRequest) async throws(CurlError) -> CurlResponse {
        guard !Task.isCancelled else { throw CurlError(.cancelled, "the call was cancelled") }
        let multi = self.multi
        let transfer = try multi.prepare(request)
        let serial = transfer.serial
        let result = await withTaskCancellationHandler {
            // `self` here is what keeps the closure on the reactor.
            await unsafe withUnsafeContinuation { continuation in
                unsafe self.multi.start(transfer, continuation)
            }
        } onCancel: {
            multi.submitCancel(transfer, serial)
        }
        return try result.get()
    }

    /// Calls in flight.
    package var inFlight: Int { self.multi.inFlight }

    /// Ends calls in flight with `closed`, and all connections.
    ///
    /// Idempotent.
    package func close() {
        self.multi.close()
    }
}
