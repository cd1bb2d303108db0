// SPDX-License-Identifier: Apache-2.0

import CurlClient
import HTTPEndpoints
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
    private let hasContentType: Bool
    private let room: InvocationRoom
    /// Lists of headers without any, whose memory is used again.
    private var spareHeaders: [[CurlHeader]] = []

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
        self.timeout = configuration.endpoint.timeout
        self.batchSizeMax = configuration.batchSizeMax
        self.room = InvocationRoom(size: configuration.concurrency, loop: reactor)
        self.client = try CurlClient(reactor: reactor, connections: configuration.concurrency)
        self.answer = HTTPAnswer(onClientError: configuration.onClientError)
        self.headers = configuration.endpoint.curlHeaders
        self.hasContentType = configuration.endpoint.hasContentType
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
        guard await self.room.enter(until: invocation.deadline) else {
            if self.room.isClosed { return .stopping }
            return .throttled(
                retryAfter: nil,
                Failure(
                    type: "HTTP.NoRoom",
                    message: "\(self.concurrency) requests were in flight until the deadline"
                )
            )
        }
        defer { self.room.leave() }
        let left = invocation.deadline - self.reactor.now
        guard left > .zero else {
            return .throttled(
                retryAfter: nil,
                Failure(type: "HTTP.NoRoom", message: "the deadline passed before the request was sent")
            )
        }
        do throws(RawBodyError) {
            var request = try self.request(invocation, timeout: min(left, self.timeout))
            let result = await self.send(request)
            request.headers.removeAll(keepingCapacity: true)
            self.spareHeaders.append(request.headers)
            return result
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
        var request = self.configuration.endpoint.request(within: timeout)
        request.responseLimit = self.configuration.maxResponse
        request.wantedFailureHeaders = HTTPText.wantedHeaders
        var contentType = invocation.contentType
        request.headers = self.spareHeaders.popLast() ?? []
        request.headers.reserveCapacity(self.headers.count + 8)
        if contentType == RawFormat.marker {
            contentType = self.configuration.dataContentType ?? "application/octet-stream"
            let raw = try RawBody(invocation.body)
            request.headers += raw.headers.compactMap(\.self)
            request.body = .buffer(invocation.body, skip: raw.skip)
        } else {
            request.body = .buffer(invocation.body)
        }
        if !self.hasContentType {
            request.add(CurlHeader("Content-Type", contentType))
        }
        request.add(CurlHeader("X-Penstock-Trigger", invocation.trigger))
        request.add(CurlHeader("X-Penstock-Attempt", number: Int64(invocation.attempt)))
        request.add(CurlHeader("X-Penstock-Invocation-Id", invocation.id))
        request.add(CurlHeader("X-Penstock-Deadline-Ms", number: invocation.wallDeadline.milliseconds))
        request.headers.append(contentsOf: self.headers)
        return request
    }

    package func stopAdmitting() async { self.room.close() }

    package func shutdown() async {
        self.room.close()
        await self.client.close()
    }
}
