// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPTypes
import Hummingbird
import PenstockConfiguration
import PenstockCore
import PenstockRuntime
import PenstockStore
import Synchronization

/// Answers each request: who may ask, what is asked, and the answer as JSON.
struct AdminResponder: HTTPResponder {
    typealias Context = BasicRequestContext

    let settings: AdminServer.Settings
    let operations: any Operations
    let store: any StateStore
    let now: @Sendable () -> Timestamp
    private let stalls = StallBox()

    /// Bytes of a request's body at most.
    static let bodyMax = 1 << 20

    init(
        settings: AdminServer.Settings,
        operations: any Operations,
        store: any StateStore,
        now: @escaping @Sendable () -> Timestamp
    ) {
        self.settings = settings
        self.operations = operations
        self.store = store
        self.now = now
    }

    func respond(to request: Request, context: BasicRequestContext) async throws -> Response {
        let response: Response
        do {
            response = try await self.answer(request)
        } catch let error as AdminError {
            response = self.refusal(error)
        } catch let error as StoreError {
            response = self.refusal(AdminError(error))
        }
        // A body behind the answer to a HEAD would be taken for the next answer.
        return request.method == .head ? response.createHeadResponse() : response
    }

    private func refusal(_ error: AdminError) -> Response {
        var response = Self.json(error.document, error.status)
        if error.status == .unauthorized { response.headers[.wwwAuthenticate] = "Bearer realm=\"penstock\"" }
        return response
    }

    private func answer(_ request: Request) async throws -> Response {
        let path = request.uri.path.split(separator: "/").map { $0.removingPercentEncoding ?? String($0) }
        let file = AdminPage.file(at: path)
        try AccessRule(settings: self.settings).check(request, isOpen: file != nil || path == ["healthz"])
        if let file { return try self.get(request) { AdminPage.answer(file, to: request) } }
        switch path {
        case ["api", "v1"]: return try self.get(request) { Self.json(self.index) }
        case ["healthz"]: return try self.get(request) { Self.text("ok\n", "text/plain; charset=utf-8") }
        case ["readyz"]: return try await self.get(request) { await self.readiness() }
        case ["metrics"]: return try await self.get(request) { await self.metrics() }
        case ["api", "v1", "info"]: return try self.get(request) { Self.json(self.info) }
        case ["api", "v1", "members"]: return try await self.get(request) { try await self.members() }
        case ["api", "v1", "triggers"]: return try await self.get(request) { await self.triggers() }
        default: break
        }
        guard path.count >= 3, path.starts(with: ["api", "v1"]) else { return try self.unknown(request) }
        return try await self.answer(request, Array(path.dropFirst(2)))
    }

    /// Below `/api/v1/`.
    private func answer(_ request: Request, _ path: [String]) async throws -> Response {
        if path.first == "schedules", let answer = try await self.schedules(request, path) { return answer }
        switch (path.first, path.count) {
        case ("triggers", 2): return try await self.get(request) { try await self.trigger(path[1]) }
        case ("triggers", 3) where path[2] == "pause" || path[2] == "resume":
            return try await self.post(request) { _ in try await self.setPaused(path[2] == "pause", path[1]) }
        case ("triggers", 3) where path[2] == "seek":
            return try await self.post(request) { try await self.seek($0, path[1]) }
        case ("triggers", 3) where path[2] == "tap":
            return try await self.get(request) { try await self.tap(request, path[1]) }
        case ("triggers", 3) where path[2] == "trace":
            return try await self.get(request) { try await self.trace(request, path[1]) }
        case ("dead-letters", 1):
            if request.method == .delete { return try await self.drop(self.body(of: request)) }
            return try await self.get(request, others: "DELETE") { try await self.deadLetters(request) }
        case ("dead-letters", 2) where path[1] == "redrive":
            return try await self.post(request) { try await self.redrive($0) }
        case ("dead-letters", 2) where path[1] == "drop":
            return try await self.post(request) { try await self.drop($0) }
        case ("dead-letters", 2):
            return try await self.get(request) { try await self.deadLetter(path[1]) }
        case ("dead-letters", 3) where path[2] == "event":
            return try await self.get(request) { try await self.event(path[1]) }
        default:
            return try self.unknown(request)
        }
    }

    private func unknown(_ request: Request) throws -> Response {
        throw AdminError(
            .notFound,
            "no-such-path",
            "there is nothing at this path; GET /api/v1 lists what there is"
        )
    }

    // MARK: - Methods and bodies

    func get(
        _ request: Request,
        others: String? = nil,
        _ body: () async throws -> Response
    ) async throws -> Response {
        guard request.method == .get || request.method == .head else {
            let allowed = ["GET", others].compactMap(\.self).joined(separator: " or ")
            throw AdminError(
                .methodNotAllowed,
                "method",
                "this path takes \(allowed), not \(request.method.rawValue)"
            )
        }
        return try await body()
    }

    private func get(_ request: Request, _ body: () throws -> Response) throws -> Response {
        guard request.method == .get || request.method == .head else {
            throw AdminError(
                .methodNotAllowed,
                "method",
                "this path takes GET, not \(request.method.rawValue)"
            )
        }
        return try body()
    }

    func post(
        _ request: Request,
        _ body: (_ order: JSONValue) async throws -> Response
    ) async throws -> Response {
        guard request.method == .post else {
            throw AdminError(
                .methodNotAllowed,
                "method",
                "this path takes POST, not \(request.method.rawValue)"
            )
        }
        return try await body(self.body(of: request))
    }

    /// The body as JSON; an empty one is an empty object.
    private func body(of request: Request) async throws -> JSONValue {
        let buffer: ByteBuffer
        do {
            buffer = try await request.body.collect(upTo: Self.bodyMax)
        } catch {
            throw AdminError(.contentTooLarge, "too-large", "the body is larger than 1 MiB, or was cut off")
        }
        if buffer.readableBytes == 0 { return .object([]) }
        guard let value = JSONValue(parsing: Array(buffer.readableBytesView)), case .object = value else {
            throw AdminError(.badRequest, "bad-json", "the body is not a JSON object")
        }
        return value
    }

    // MARK: - Answers

    static func json(_ value: JSONValue, _ status: HTTPResponse.Status = .ok) -> Response {
        Self.text(value.text + "\n", "application/json", status)
    }

    static func text(_ text: String, _ type: String, _ status: HTTPResponse.Status = .ok) -> Response {
        Response(
            status: status,
            headers: [.contentType: type, .cacheControl: "no-store", .xContentTypeOptions: "nosniff"],
            body: ResponseBody(byteBuffer: ByteBuffer(string: text))
        )
    }

    private var index: JSONValue {
        let paths = [
            "GET /", "GET /healthz", "GET /readyz", "GET /metrics", "GET /api/v1", "GET /api/v1/info",
            "GET /api/v1/members", "GET /api/v1/triggers",
            "GET /api/v1/triggers/{name}", "POST /api/v1/triggers/{name}/pause",
            "POST /api/v1/triggers/{name}/resume", "POST /api/v1/triggers/{name}/seek",
            "GET /api/v1/triggers/{name}/tap",
            "GET /api/v1/triggers/{name}/trace?at={record}",
            "GET /api/v1/schedules", "GET /api/v1/schedules/{name}", "GET /api/v1/schedules/{name}/history",
            "POST /api/v1/schedules/{name}/fire", "POST /api/v1/schedules/{name}/backfill",
            "GET /api/v1/dead-letters", "GET /api/v1/dead-letters/{id}",
            "GET /api/v1/dead-letters/{id}/event",
            "POST /api/v1/dead-letters/redrive", "POST /api/v1/dead-letters/drop",
            "DELETE /api/v1/dead-letters",
        ]
        return .document(("paths", .array(paths.map { .string($0) })))
    }

    private var info: JSONValue {
        .document(
            ("version", .string(self.settings.version)),
            ("config", .string(self.settings.configuration)),
            ("started", .string(self.settings.started.configurationText)),
            ("uptime_seconds", .integer(Int((self.now() - self.settings.started).inSeconds)))
        )
    }

    private func readiness() async -> Response {
        let snapshots = await self.operations.snapshots()
        let stalls = self.stalls.look(snapshots, now: self.now())
        var reasons: [JSONValue] = []
        for snapshot in snapshots {
            let timeout = await self.operations.timeout(of: snapshot.function)
            guard let reason = Readiness.reason(snapshot, stall: stalls[snapshot.name], timeout: timeout)
            else { continue }
            reasons.append(.document(("trigger", .string(snapshot.name)), ("reason", .string(reason))))
        }
        let isReady = reasons.isEmpty
        let warning = await self.operations.retention().warning
        let document = JSONValue.document(
            ("ready", .boolean(isReady)),
            ("reasons", .array(reasons)),
            ("warnings", warning.map { .array([.string($0)]) })
        )
        return Self.json(document, isReady ? .ok : .serviceUnavailable)
    }

    private func metrics() async -> Response {
        let snapshots = await self.operations.snapshots()
        let retention = await self.operations.retention()
        let now = self.now()
        let all =
            retention.retention.isLimited
            ? try? await self.store.countDeadLetters(matching: DeadLetterQuery()) : nil
        let state = MetricsState(
            snapshots: snapshots,
            deadLetters: await self.countDeadLetters(snapshots.map(\.name)),
            dropped: retention.dropped,
            retentionUse: all.flatMap { retention.retention.use(of: $0, now: now) },
            now: now,
            version: self.settings.version,
            generation: await self.operations.generation(),
            membership: await self.operations.membership()
        )
        return Self.text(MetricsText(state).text, "text/plain; version=0.0.4; charset=utf-8")
    }

    private func countDeadLetters(_ triggers: [String]) async -> [(String, DeadLetterCount)]? {
        var counts: [(String, DeadLetterCount)] = []
        for trigger in triggers {
            var query = DeadLetterQuery()
            query.trigger = trigger
            // Metrics about the triggers are served even when the store does not answer.
            guard let count = try? await self.store.countDeadLetters(matching: query) else { return nil }
            counts.append((trigger, count))
        }
        return counts
    }

    /// Those that share the store, and who holds what.
    private func members() async throws -> Response {
        guard let cluster = try await self.operations.cluster() else {
            return Self.json(.document(("shared", .boolean(false)), ("members", .array([]))))
        }
        return Self.json(cluster.document)
    }

    private func triggers() async -> Response {
        let snapshots = await self.operations.snapshots()
        return Self.json(.document(("triggers", .array(snapshots.map(\.document)))))
    }

    private func trigger(_ name: String) async throws -> Response {
        guard let snapshot = await self.operations.snapshot(of: name) else {
            throw await self.noTrigger(name)
        }
        return Self.json(snapshot.document)
    }

    private func setPaused(_ isPaused: Bool, _ name: String) async throws -> Response {
        guard try await self.operations.setPaused(isPaused, trigger: name) else {
            throw await self.noTrigger(name)
        }
        return try await self.trigger(name)
    }

    func noTrigger(_ name: String) async -> AdminError {
        .unknown("trigger", name, among: await self.operations.snapshots().map(\.name))
    }
}

/// A ``StallWatch`` that requests share.
private final class StallBox: Sendable {
    private let watch = Mutex(StallWatch())

    func look(_ snapshots: [TriggerSnapshot], now: Timestamp) -> [String: Duration] {
        self.watch.withLock { $0.look(snapshots, now: now) }
    }
}
