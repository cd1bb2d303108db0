// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import Glibc
import Logging
import PenstockAdmin
import PenstockConfiguration
import PenstockCore

/// `--log-level` and `--log-format`.
struct LogOptions: ParsableArguments {
    /// How lines look.
    enum Format: String, ExpressibleByArgument, CaseIterable {
        case text
        case json
    }

    @Option(
        help: "What is logged: trace, debug, info, notice, warning, error or critical, and what is worse."
    )
    var logLevel = LogLevel.info
    @Option(help: "text: time level message key=value; json: one object a line.")
    var logFormat = Format.text

    /// A logger on standard error.
    var logger: Logger {
        let format = self.logFormat
        var logger = Logger(label: "penstock") { _ in LineLog(isJSON: format == .json) }
        logger.logLevel = Logger.Level(rawValue: self.logLevel.rawValue) ?? .info
        return logger
    }
}

/// The levels of swift-log, as words.
enum LogLevel: String, ExpressibleByArgument, CaseIterable {
    case trace, debug, info, notice, warning, error, critical
}

/// Writes each message as one line to standard error.
struct LineLog: LogHandler {
    let isJSON: Bool
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.info

    init(isJSON: Bool) {
        self.isJSON = isJSON
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { self.metadata[key] }
        set { self.metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let dropped = LogStream.standardError.takeDropped()
        if dropped > 0 {
            LogStream.standardError.write(
                self.line(
                    .warning,
                    "lines of the log are missing: standard error did not take them",
                    ["lines": "\(dropped)"]
                )
            )
        }
        LogStream.standardError.write(self.line(event.level, "\(event.message)", event.metadata ?? [:]))
    }

    private func line(_ level: Logger.Level, _ message: String, _ metadata: Logger.Metadata) -> String {
        let time = Timestamp(milliseconds: Int64(Date().timeIntervalSince1970 * 1000)).sortableText
        let facts = self.metadata.merging(metadata) { $1 }.sorted { $0.key < $1.key }
        if self.isJSON {
            let head = [
                JSONValue.Member("time", .string(time)), .init("level", .string(level.rawValue)),
                .init("message", .string(message)),
            ]
            return JSONValue.object(head + facts.map { .init($0.key, .string("\($0.value)")) }).text
        } else {
            let tail = facts.map { " \($0.key)=\(Self.quoted("\($0.value)"))" }.joined()
            // Functions write what they like.
            return Terminal.visible("\(time) \(level.rawValue) \(Self.oneLine(message))\(tail)")
        }
    }

    private static func quoted(_ text: String) -> String {
        let isPlain =
            !text.isEmpty && text.utf8.allSatisfy { $0 > 0x20 && $0 != 0x22 && $0 != 0x3D && $0 != 0x7F }
        return isPlain ? text : JSONValue.string(text).text
    }

    private static func oneLine(_ text: String) -> String {
        // By scalars: CR and LF together are one Character.
        text.unicodeScalars.reduce(into: "") { line, scalar in
            switch scalar {
            case "\n": line += "\\n"
            case "\r": line += "\\r"
            default: line.unicodeScalars.append(scalar)
            }
        }
    }
}
