// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Glibc
import PenstockAdmin
import PenstockConfiguration
import PenstockRuntime
import PenstockStore
import Synchronization

/// How results are printed.
enum OutputFormat: String, ExpressibleByArgument, CaseIterable {
    case text
    case json
}

/// `--format`.
struct FormatOptions: ParsableArguments {
    @Option(
        help: "text for people, json for programs: one envelope with command, ok, result, findings, error."
    )
    var format = OutputFormat.text
}

/// Why a command could not do what was asked.
struct CommandFailure: Error {
    /// The exit codes.
    enum Exit: Int32 {
        case failed = 1
        case invalid = 2
        case environment = 3
    }

    var exit: Exit
    /// In kebab-case, safe to match on.
    var code: String
    /// What happened and what to do.
    var message: String
    var findings: [Finding] = []

    init(_ exit: Exit, _ code: String, _ message: String, findings: [Finding] = []) {
        self.exit = exit
        self.code = code
        self.message = message
        self.findings = findings
    }

    /// What the store refused.
    init(_ error: StoreError) {
        self.init(
            error.code == .inputOutput ? .failed : .environment,
            "store-\(Self.kebab(error.code.rawValue))",
            error.detail
        )
    }

    /// The name of a case as a code of ours: `inUse` is `in-use`.
    static func kebab(_ name: String) -> String {
        name.map { $0.isUppercase ? "-\($0.lowercased())" : "\($0)" }.joined()
    }
}

extension CommandFailure {
    /// A function that the configuration does not have.
    static func noFunction(_ name: String, _ plan: Plan) -> CommandFailure {
        let text = Self.absence(of: "function", name, among: plan.functions.map(\.name))
        return CommandFailure(.invalid, "no-such-function", text)
    }

    /// A trigger that the configuration does not have.
    static func noTrigger(_ name: String, _ plan: Plan) -> CommandFailure {
        let text = Self.absence(of: "trigger", name, among: plan.triggers.map(\.name))
        return CommandFailure(.failed, "no-such-trigger", text)
    }

    private static func absence(of what: String, _ name: String, among names: [String]) -> String {
        let known = names.isEmpty ? "there is none" : "there are \(names.joined(separator: ", "))"
        return "there is no \(what) \"\(name)\"; \(didYouMean(name, among: names) ?? known)"
    }
}

/// What a command has done: the same for people and for programs.
struct Outcome {
    var text: String
    var result: JSONValue
    var findings: [Finding] = []
    /// What it exits with when nothing else is wrong: 0, or 1 for no match.
    var exitCode: Int32 = 0
    /// Whether the envelope is written already, by an ``EnvelopeStream``.
    var isWritten = false
}

/// The envelope around each answer.
enum Output {
    /// A success.
    static func envelope(_ command: String, _ outcome: Outcome) -> JSONValue {
        .document(
            ("command", .string(command)),
            ("ok", .boolean(outcome.exitCode == 0)),
            ("result", outcome.result),
            ("findings", .array(outcome.findings.map(\.document))),
            ("error", .null)
        )
    }

    /// A failure.
    static func envelope(_ command: String, failure: CommandFailure) -> JSONValue {
        .document(
            ("command", .string(command)),
            ("ok", .boolean(false)),
            ("result", .null),
            ("findings", .array(failure.findings.map(\.document))),
            ("error", .document(("code", .string(failure.code)), ("message", .string(failure.message))))
        )
    }
}

extension Finding {
    /// One flat object.
    var document: JSONValue {
        .document(
            ("severity", .string(self.severity.rawValue)),
            ("code", .string(self.code.rawValue)),
            ("file", .string(self.place.file)),
            ("line", self.place.line.map { .integer($0) }),
            ("column", self.place.column.map { .integer($0) }),
            ("path", .string(self.path.description)),
            ("message", .string(self.message)),
            ("suggestion", self.suggestion.map { .string($0) })
        )
    }
}

/// A command with one answer.
protocol AnsweringCommand: AsyncParsableCommand {
    var output: FormatOptions { get }

    /// The name in the envelope, such as `triggers list`.
    var title: String { get }

    /// Does it; never on the main thread's actor.
    func answer() async throws -> Outcome
}

extension AnsweringCommand {
    @concurrent
    func run() async throws {
        let exitCode: Int32
        do {
            let outcome = try await self.answer()
            exitCode = outcome.exitCode
            switch self.output.format {
            case .json where outcome.isWritten: break
            case .text:
                for finding in outcome.findings { Terminal.complain(finding.description) }
                if !outcome.text.isEmpty { Terminal.print(outcome.text) }
            case .json: Terminal.print(Output.envelope(self.title, outcome).prettyText)
            }
        } catch let error as StoreError {
            exitCode = self.report(CommandFailure(error))
        } catch let error as CommandFailure {
            exitCode = self.report(error)
        }
        guard exitCode == 0 else { throw ExitCode(exitCode) }
    }

    private func report(_ failure: CommandFailure) -> Int32 {
        switch self.output.format {
        case .text:
            for finding in failure.findings { Terminal.complain(Terminal.visible(finding.description)) }
            Terminal.complain(Terminal.visible("penstock: \(failure.message)"))
        case .json: Terminal.print(Output.envelope(self.title, failure: failure).prettyText)
        }
        return failure.exit.rawValue
    }
}

/// Standard output and standard error.
enum Terminal {
    /// Why standard output took not all that was written to it, as `errno`; 0 while it did.
    private static let refusal = Mutex<Int32>(0)

    /// Whether the reader of standard output has gone.
    static var isUnread: Bool { Self.refusal.withLock { $0 == EPIPE } }

    /// Whether standard output still takes what is written: a command that goes on and on has no other end.
    static var isWritable: Bool { Self.refusal.withLock { $0 == 0 } }

    /// Ends the program when standard output is not all there.
    ///
    /// Whoever wrote a dead letter to a file of a full disk must not believe that it is there. The exit code is 3, or 0
    /// when it was a reader that has gone and wants no more.
    static func endUnlessWritten() {
        let number = Self.refusal.withLock { $0 }
        guard number != 0 else { return }
        guard number != EPIPE else { Glibc.exit(0) }
        let reason = unsafe String(cString: strerror(number))
        Self.complain("penstock: standard output did not take everything: \(reason)")
        Glibc.exit(CommandFailure.Exit.environment.rawValue)
    }

    /// A line, or several, to standard output.
    static func print(_ text: String) {
        Self.write(Array(text.utf8) + (text.hasSuffix("\n") ? [] : [0x0A]), to: STDOUT_FILENO)
    }

    /// A line, or several, to standard error; `newline` false writes the text as it is.
    static func complain(_ text: String, newline: Bool = true) {
        let end: [UInt8] = newline && !text.hasSuffix("\n") ? [0x0A] : []
        Self.write(Array(text.utf8) + end, to: STDERR_FILENO)
    }

    /// Columns of the terminal behind standard error; 80 where there is none.
    static var width: Int {
        var size = winsize()
        guard unsafe ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
        return Int(size.ws_col)
    }

    /// Text from records or functions, so that it cannot command the terminal: control characters but for newline
    /// and tab are shown as `\u{1B}`.
    static func visible(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: Self.isCommand) else { return text }
        return text.unicodeScalars.map { scalar in
            Self.isCommand(scalar)
                ? "\\u{\(String(scalar.value, radix: 16, uppercase: true))}" : String(Character(scalar))
        }.joined()
    }

    private static func isCommand(_ scalar: Unicode.Scalar) -> Bool {
        (scalar.value < 0x20 && scalar != "\n" && scalar != "\t") || (0x7F...0x9F).contains(scalar.value)
    }

    /// Bytes as they are.
    static func write(_ bytes: [UInt8], to descriptor: Int32) {
        unsafe bytes.withUnsafeBytes { buffer in
            var rest = unsafe buffer[...]
            while unsafe !rest.isEmpty {
                let count = unsafe Glibc.write(
                    descriptor,
                    UnsafeRawBufferPointer(rebasing: rest).baseAddress,
                    rest.count
                )
                let number = count < 0 ? errno : 0
                if number == EINTR { continue }
                if number == EAGAIN {
                    // Somebody else made it one that does not block; a terminal's is shared.
                    var wait = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                    _ = unsafe poll(&wait, 1, -1)
                    continue
                }
                guard count > 0 else {
                    if descriptor == STDOUT_FILENO { Self.refusal.withLock { $0 = number } }
                    return
                }
                unsafe rest = rest.dropFirst(count)
            }
        }
    }

    /// Columns padded to the widest cell; the last one is left as it is.
    static func table(_ rows: [[String]]) -> String {
        let rows = rows.map { $0.map(Self.visible) }
        let columns = rows.map(\.count).max() ?? 0
        let widths = (0..<columns).map { column in
            rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0
        }
        return rows.map { row in
            row.enumerated().map { column, cell in
                column == row.count - 1
                    ? cell : cell + String(repeating: " ", count: widths[column] - cell.count)
            }.joined(separator: "  ")
        }.joined(separator: "\n")
    }
}
