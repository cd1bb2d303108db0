// SPDX-License-Identifier: Apache-2.0

import AWSClient
import CurlClient
import PenstockConfiguration
import PenstockCore
import PenstockRuntime
import Reactor

/// Looks at a table's stream for `penstock doctor`: each call that a reader makes, in the order in which it makes them.
///
/// It reads behind the last record of one shard, so it takes nothing from anybody but a moment of the shard's readers.
struct DynamoDBExamination {
    private let configuration: DynamoDBSourceConfiguration
    private let client: StreamsClient
    private let tables: TableClient

    /// - Throws: ``AWSError`` for an endpoint that is no URL, or when libcurl cannot be set up.
    init(_ configuration: DynamoDBSourceConfiguration, reactor: Reactor) throws(AWSError) {
        self.configuration = configuration
        self.client = try StreamsClient(configuration.options, reactor: reactor)
        self.tables = try TableClient(configuration.options, reactor: reactor)
    }

    /// Ends calls in flight and all connections.
    ///
    /// Idempotent.
    func close() async {
        await self.client.close()
        await self.tables.close()
    }

    /// What is found of the stream, and of the trigger that reads it.
    func source(_ trigger: TriggerPlan, _ function: FunctionPlan) async -> [Diagnosis] {
        let retention = Self.retention(trigger.policy(function: function).retry, function.timeout)
        let (stream, unfound) = await self.find()
        guard let stream else { return [unfound, retention].compactMap(\.self) }
        var allowed = self.configuration.isTable ? ["ListStreams"] : []
        var description = StreamDescription()
        do throws(AWSError) {
            try await self.client.describe(stream, into: &description)
        } catch {
            return [self.judge(error, "DescribeStream", "stream", stream.arn), retention]
        }
        allowed.append("DescribeStream")
        return [
            self.judge(description, stream), await self.permissions(description, stream, allowed),
            Self.view(description.viewType) { trigger.filters(lookAt: ["dynamodb", $0]) }, retention,
        ]
    }

    // MARK: - Asking

    /// The stream that would be read first, or why there is none.
    private func find() async -> (stream: StreamName?, unfound: Diagnosis?) {
        guard case .table(let table) = self.configuration.origin else {
            if case .stream(let stream) = self.configuration.origin { return (stream, nil) }
            return (nil, nil)
        }
        do throws(AWSError) {
            if let stream = try await self.client.streams(of: table).last { return (stream, nil) }
        } catch {
            return (nil, self.judge(error, "ListStreams", "stream", "table \(table)"))
        }
        // A reader needs no permission to look at the table; it only tells the two cases apart.
        do throws(AWSError) {
            try await self.tables.describe(table)
            return (nil, .error("stream", "table \(table) has no stream; enable one on the table"))
        } catch {
            let advice = "check \"table\", \"region\" and \"endpoint\""
            return (
                nil,
                error.code == Self.missing
                    ? .error("stream", "there is no table \(table); create it, or \(advice)")
                    : .error(
                        "stream",
                        "table \(table) has no stream, or is not there; enable one on it, or \(advice)"
                    )
            )
        }
    }

    /// Asks for an iterator behind the last record of a shard, and reads there.
    private func permissions(
        _ description: StreamDescription,
        _ stream: StreamName,
        _ allowed: [String]
    ) async -> Diagnosis {
        var allowed = allowed
        guard let shard = description.shards.first(where: { !$0.isClosed }) ?? description.shards.last else {
            let rest =
                "dynamodb:GetShardIterator and dynamodb:GetRecords cannot be asked: it has no shards yet"
            return .warning("permissions", "\(Self.list(allowed)) allowed; \(rest)")
        }
        do throws(AWSError) {
            let iterator = try await self.client.iterator(.latest, of: shard.id, in: stream)
            allowed.append("GetShardIterator")
            _ = try await self.client.records(iterator)
            allowed.append("GetRecords")
        } catch {
            let isIterator = allowed.last != "GetShardIterator"
            let operation = isIterator ? "GetShardIterator" : "GetRecords"
            var found = self.judge(error, operation, "permissions", stream.arn)
            if isIterator, AWSError.isDenial(error.code) {
                found.detail += ", and dynamodb:GetRecords, which cannot be asked without it"
            }
            return found
        }
        return .ok("permissions", "\(Self.list(allowed)) allowed")
    }

    private static let missing = "ResourceNotFoundException"

    private static func list(_ actions: [String]) -> String {
        actions.map { "dynamodb:\($0)" }.joined(separator: ", ")
    }

    // MARK: - Judging

    /// What a call's error means.
    private func judge(_ error: AWSError, _ operation: String, _ check: String, _ what: String) -> Diagnosis {
        if AWSError.isDenial(error.code) {
            return .error("permissions", "dynamodb:\(operation) is denied; allow it")
        }
        if case .throttled = error.kind {
            let text = "\(what): \(operation): \(error)"
            return .warning(check, "\(text); a shard serves two readers: look for others of this stream")
        }
        let advice =
            switch (error.kind, error.code) {
            case (.noCredentials, "Client.NoCredentials"):
                "; set \"credentials\" or \"profile\", or AWS_ACCESS_KEY_ID"
            case (_, Self.missing): "; check the name, \"region\" and \"endpoint\""
            default: ""
            }
        return .error(check, "\(what): \(operation): \(error)\(advice)")
    }

    private func judge(_ description: StreamDescription, _ stream: StreamName) -> Diagnosis {
        guard !description.isOpen else { return .ok("stream", "\(stream.arn) is enabled") }
        let then =
            self.configuration.isTable ? "enable one on the table" : "name its table to go on with the next"
        return .warning(
            "stream",
            "\(stream.arn) is disabled: it is read to its end, and nothing follows; \(then)"
        )
    }

    /// Whether changes have what filters ask for.
    ///
    /// - Parameters:
    ///   - type: AWS's word; empty when the stream did not say.
    ///   - isAskedFor: whether a filter looks at that member of `dynamodb`.
    /// - Returns: a warning when not, or when the stream did not say.
    static func view(_ type: String, isAskedFor: (_ image: String) -> Bool) -> Diagnosis {
        let images = ["NewImage", "OldImage"]
        let had: [String]
        switch type {
        case "KEYS_ONLY": had = []
        case "NEW_IMAGE": had = ["NewImage"]
        case "OLD_IMAGE": had = ["OldImage"]
        case "NEW_AND_OLD_IMAGES": had = images
        default: return .warning("view type", "the stream does not say what its changes have of the items")
        }
        let text = "\(type): changes have the keys\(had.map { ", \($0)" }.joined())"
        let lacking = images.filter { !had.contains($0) && isAskedFor($0) }
        guard !lacking.isEmpty else { return .ok("view type", text) }
        let names = lacking.joined(separator: " and ")
        return .warning(
            "view type",
            "\(text), and filters look at \(names); give the table a stream of NEW_AND_OLD_IMAGES, or change filters"
        )
    }

    /// Whether a change that always fails is given up before what is behind it in its shard is gone.
    static func retention(_ retry: RetryPolicy, _ timeout: Duration) -> Diagnosis {
        let kept = "a stream keeps changes for \(DynamoDBSource.retention.configurationText)"
        guard let longest = retry.longest(invocation: timeout) else {
            let text = "\(kept), and a change that always fails is tried without end: it holds up its shard"
            return .warning(
                "retention",
                "\(text) until what is behind it is gone; set failure.retries or max_age"
            )
        }
        let text = "\(kept), and one that always fails can be tried for \(longest.configurationText)"
        return longest < DynamoDBSource.retention
            ? .ok("retention", text)
            : .warning(
                "retention",
                "\(text): what is behind it is gone by then; lower failure.retries or max_age"
            )
    }
}

/// The one call of DynamoDB itself that is made: whether a table is there.
private struct TableClient: Sendable {
    private let client: AWSClient

    init(_ options: AWSOptions, reactor: Reactor) throws(AWSError) {
        self.client = try AWSClient(service: "dynamodb", options: options, reactor: reactor)
    }

    func describe(_ table: String) async throws(AWSError) {
        let body = Array("{".utf8) + JSONText.member("TableName", table) + Array("}".utf8)
        var call = AWSCall(method: .post, path: "/", body: .bytes(body))
        call.headers = [
            ("Content-Type", "application/x-amz-json-1.0"),
            ("X-Amz-Target", "DynamoDB_20120810.DescribeTable"),
        ]
        _ = try await self.client.call(call)
    }

    func close() async { await self.client.close() }
}
