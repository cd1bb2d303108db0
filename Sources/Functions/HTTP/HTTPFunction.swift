// SPDX-License-Identifier: Apache-2.0

import CurlClient
import DequeModule
import PenstockConfiguration
package import PenstockCore
package import PenstockRuntime
package import Reactor

/// An HTTP endpoint as a function: each invocation is one POST.
///
/// Pinned to the reactor. Each request carries `X-Penstock-Trigger`, `X-Penstock-Attempt`,
/// `X-Penstock-Invocation-Id` (the same for each attempt at a batch) and `X-Penstock-Deadline-Ms`
/// (milliseconds of the Unix epoch).
package actor HTTPFunction: Function {
    package nonisolated let name: String
    package nonisolated let concurrency: Int
    package nonisolated let timeout: Duration

    /// The most records that one invocation may carry; nil when the format sets no limit.
    package nonisolated let batchSizeMax: Int?

    private nonisolated let configuration: HTTPFunctionConfiguration
    private nonisolated let reactor: Reactor
    private let client: CurlClient
    private let answer: HTTPAnswer
    private let headers: [CurlHeader]
    private var running = 0
    private var waiting: Deque<Waiter> = []
    private var lastWaiter: UInt64 = 0

    /// Who waits for room; told whether there is some.
    private struct Waiter {
        var id: UInt64
        var timer: TimerID
        var continuation: CheckedContinuation<Bool, Never>
    }

    /// A function of that name; connections are made when they are needed.
    ///
    /// - Throws: ``CurlError`` when libcurl cannot be set up.
    package init(
        name: String,
        configuration: HTTPFunctionConfiguration,
        reactor: Reactor
    ) throws {
        self.name = name
        self.configuration = configuration
        self.reactor = reactor
        self.concurrency = configuration.concurrency
        self.timeout = configuration.timeout
        self.batchSizeMax = configuration.batchSizeMax
        self.client = try CurlClient(reactor: reactor, connections: configuration.concurrency)
        self.answer = HTTPAnswer(onClientError: configuration.onClientError)
        self.headers = configuration.headers.compactMap { CurlHeader($0.name, $0.value.reveal()) }
    }

    package nonisolated var unownedExecutor: UnownedSerialExecutor {
        unsafe self.reactor.asUnownedSerialExecutor()
    }

    package nonisolated func format(for source: any EventFormat, trigger: String) -> any EventFormat {
        switch self.configuration.format {
        case .lambda: source
        case .cloudevents:
            CloudEventsFormat(
                trigger: trigger,
                type: self.configuration.eventType,
                dataContentType: self.configuration.dataContentType
            )
        case .raw: RawFormat()
        }
    }

    package func invoke(_ invocation: Invocation) async -> InvocationResult {
        guard await self.waitForRoom(until: invocation.deadline) else {
            return .throttled(
                retryAfter: nil,
                Failure(
                    type: "HTTP.NoRoom",
                    message: "\(self.concurrency) requests were in flight until the deadline"
                )
            )
        }
        defer { self.leave() }
        let left = invocation.deadline - self.reactor.now
        guard left > .zero else {
            return .throttled(
                retryAfter: nil,
                Failure(type: "HTTP.NoRoom", message: "the deadline passed before the request was sent")
            )
        }
        do throws(RawBodyError) {
            let request = try self.request(invocation, timeout: min(left, self.timeout))
            return await self.send(request)
        } catch {
            return .failed(Failure(type: "HTTP.RawBatch", message: error.detail))
        }
    }

    private func send(_ request: CurlRequest) async -> InvocationResult {
        do throws(CurlError) {
            return self.answer.result(try await self.client.perform(request))
        } catch {
            return self.answer.result(error)
        }
    }

    private func request(_ invocation: Invocation, timeout: Duration) throws(RawBodyError) -> CurlRequest {
        var request = CurlRequest(url: self.configuration.url.text)
        request.timeout = timeout
        request.connectTimeout = min(timeout, .seconds(10))
        request.responseLimit = self.configuration.maxResponse
        request.wantedHeaders = ["location"]
        request.tls = self.configuration.tls.options
        request.http2 = self.configuration.http2
        var contentType = invocation.contentType
        var headers: [CurlHeader?] = []
        if contentType == RawFormat.marker {
            contentType = self.configuration.dataContentType ?? "application/octet-stream"
            let raw = try RawBody(invocation.body)
            headers += raw.headers
            request.body = .buffer(invocation.body, skip: raw.skip)
        } else {
            request.body = .buffer(invocation.body)
        }
        if !self.configuration.headers.contains(where: { $0.name.lowercased() == "content-type" }) {
            headers.append(CurlHeader("Content-Type", contentType))
        }
        headers += [
            CurlHeader("X-Penstock-Trigger", invocation.trigger),
            CurlHeader("X-Penstock-Attempt", String(invocation.attempt)),
            CurlHeader("X-Penstock-Invocation-Id", invocation.id),
            CurlHeader("X-Penstock-Deadline-Ms", String(invocation.wallDeadline.milliseconds)),
        ]
        request.headers = headers.compactMap(\.self) + self.headers
        return request
    }

    package func shutdown() async {
        for waiter in self.waiting { self.tell(waiter, hasRoom: false) }
        self.waiting.removeAll()
        await self.client.close()
    }

    // MARK: - Room

    /// False when there was none until `deadline`, or the task was cancelled.
    ///
    /// In order of calls.
    private func waitForRoom(until deadline: Instant) async -> Bool {
        guard self.running >= self.concurrency else {
            self.running += 1
            return true
        }
        self.lastWaiter += 1
        let id = self.lastWaiter
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let timer = self.reactor.schedule(at: deadline) { [weak self] in
                    self?.assumeIsolated { $0.giveUp(id) }
                }
                self.waiting.append(Waiter(id: id, timer: timer, continuation: continuation))
            }
        } onCancel: {
            self.reactor.submit { [weak self] in self?.assumeIsolated { $0.giveUp(id) } }
        }
    }

    /// Hands the room to the next in line.
    private func leave() {
        guard let next = self.waiting.popFirst() else {
            self.running -= 1
            return
        }
        self.tell(next, hasRoom: true)
    }

    private func giveUp(_ id: UInt64) {
        guard let index = self.waiting.firstIndex(where: { $0.id == id }) else { return }
        self.tell(self.waiting.remove(at: index), hasRoom: false)
    }

    private func tell(_ waiter: Waiter, hasRoom: Bool) {
        self.reactor.cancel(waiter.timer)
        waiter.continuation.resume(returning: hasRoom)
    }
}
