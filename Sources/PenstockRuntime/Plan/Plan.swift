// SPDX-License-Identifier: Apache-2.0

package import PenstockConfiguration
import PenstockCore
package import PenstockStore

/// A whole configuration, typed and checked: what `penstock run` carries out.
package struct Plan: Sendable {
    /// Where the state is kept.
    package var state: StateLocation
    /// The admin API.
    package var admin: AdminConfiguration
    /// When dead letters of the store are dropped.
    package var deadLetters: LetterRetention
    /// How long invocations may go on after a stop was asked for.
    package var drainTimeout: Duration
    /// The functions, in the order of the file.
    package var functions: [Named<FunctionPlan>]
    /// The triggers, in the order of the file.
    package var triggers: [Named<TriggerPlan>]
    /// What the file says of each part, to tell what another plan changes.
    package var text: PlanText

    /// The function of that name.
    package func function(_ name: String) -> FunctionPlan? {
        self.functions.first { $0.name == name }?.value
    }
}

/// Where the state is kept.
package enum StateLocation: Sendable, Equatable, CustomStringConvertible {
    /// A file, made when it does not exist.
    case sqlite(path: String)
    /// A schema of a Postgres database, which several Penstocks may share.
    case postgres(PostgresLocation)

    /// Without a password.
    package var description: String {
        switch self {
        case .sqlite(let path): "sqlite:\(path)"
        case .postgres(let location): location.description
        }
    }

    /// Whether a password is in it.
    var hasPassword: Bool {
        guard case .postgres(let location) = self else { return false }
        return location.hasPassword
    }

    /// What it may be, for findings.
    static let form = "sqlite: and a path, or the URL of a Postgres database"

    /// `sqlite:` and a path, or `postgres://…`; errors tell nothing of the text, which may hold a password.
    static func parse(_ text: String) throws -> StateLocation {
        if PostgresLocation.matches(text) {
            do throws(StoreError) {
                return .postgres(try PostgresLocation(text))
            } catch {
                throw MalformedText(description: "it \(error.detail)")
            }
        }
        guard text.hasPrefix("sqlite:"), text.utf8.count > "sqlite:".utf8.count else {
            throw MalformedText(
                description: "write it like sqlite:data/penstock.db, or postgres://user@host:5432/database"
            )
        }
        return .sqlite(path: String(text.dropFirst("sqlite:".count)))
    }
}

/// `admin:`.
package struct AdminConfiguration: ConfigurationTable {
    static let listen = Field<ListenAddress>(
        "listen",
        "Where the API, the metrics and the health checks are served; off loopback a token is required.",
        .parsed("host:port", placeholder: ListenAddress.standard) { try ListenAddress($0) },
        absence: .value(.standard, shown: .string(ListenAddress.standard.description))
    )
    static let advertise = Field<ListenAddress>.parsed(
        "advertise",
        "Where other machines reach this API, which the members of a cluster show; `listen` when it is left out.",
        "host:port",
        placeholder: ListenAddress.standard
    ) { try ListenAddress($0) }
    .optional
    static let token = Field.secret("token", "The bearer token that calls must carry.").optional
    package static let table = FieldTable(
        "admin",
        "API, metrics and health checks.",
        [listen, advertise, token]
    )

    /// Where to listen.
    package let listen: ListenAddress
    /// Where other machines reach it; nil when that is where it listens, if they can at all.
    package let advertise: ListenAddress?
    /// The bearer token that calls must carry; nil on loopback without one.
    package let token: Secret?

    package init(_ reader: inout ConfigurationReader) {
        self.listen = reader[Self.listen]
        self.advertise = reader[Self.advertise]
        self.token = reader[Self.token]
        reader.require(
            self.advertise?.port != 0,
            at: Self.advertise,
            "has the port 0, to which nobody can connect",
            suggestion: "write the port at which other machines reach the API"
        )
        reader.require(
            self.listen.isLoopback || reader.has(Self.token),
            at: Self.listen,
            "is reachable from outside, so \"token\" must be set",
            suggestion: "add `token: ${PENSTOCK_TOKEN}`, or listen on 127.0.0.1"
        )
        reader.require(
            self.token.map { $0.reveal().utf8.count >= 16 } ?? true,
            at: Self.token,
            code: .outOfRange,
            "must have at least 16 characters"
        )
    }
}

/// A host and a port to listen on.
package struct ListenAddress: Sendable, Equatable, CustomStringConvertible {
    /// A name or an address, without brackets.
    package var host: String
    /// The port; 0 lets the system choose.
    package var port: Int

    /// 127.0.0.1:8077.
    package static let standard = ListenAddress(host: "127.0.0.1", port: 8077)

    /// An address.
    package init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    init(_ text: String) throws {
        guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]),
            colon > text.startIndex
        else { throw MalformedText(description: "write it like 127.0.0.1:8077") }
        guard (0...65_535).contains(port) else {
            throw MalformedText(description: "\(port) is no port; they end at 65535")
        }
        var host = String(text[..<colon])
        if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
        self.host = host
        self.port = port
    }

    /// Whether only this machine can connect.
    package var isLoopback: Bool {
        self.host == "localhost" || self.host == "::1" || self.host.hasPrefix("127.")
    }

    package var description: String {
        self.host.contains(":") ? "[\(self.host)]:\(self.port)" : "\(self.host):\(self.port)"
    }
}

/// Reads a configuration by the tables of a registry's connectors and functions.
package struct PlanReader: Sendable {
    private let registry: Registry
    private let state: Field<StateLocation>
    private let admin = Field<AdminConfiguration>.table("admin", "API, metrics and health checks.")
    private let deadLetters = Field<LetterRetention>.table(
        "dead_letters",
        "When dead letters of the embedded store are dropped: never, unless a limit is set."
    )
    private let drainTimeout = Field.duration(
        "drain_timeout",
        "How long invocations may go on after a stop was asked for; keep it below the patience of what stops Penstock.",
        default: .seconds(25),
        in: .seconds(0) ... .seconds(3600)
    )
    private let functions: Field<[Named<FunctionPlan>]>
    private let triggers: Field<[Named<TriggerPlan>]>

    /// A reader for these connectors and functions.
    package init(_ registry: Registry) {
        self.registry = registry
        self.state = Field(
            "state",
            "Where checkpoints and dead letters are kept: sqlite: and a path, or postgres://user@host:5432/database?schema=penstock, which several Penstocks may share.",
            .parsed(
                StateLocation.form,
                placeholder: StateLocation.sqlite(path: ":"),
                holdsPassword: { $0.hasPassword }
            ) { try StateLocation.parse($0) },
            absence: .value(.sqlite(path: "data/penstock.db"), shown: .string("sqlite:data/penstock.db"))
        )
        let functionForms = registry.functionKinds.map { $0.alternative }
        self.functions = .map("functions", "What triggers invoke, by name.", of: .oneOf(functionForms))
        let trigger = Kind<TriggerPlan>.table(TriggerPlan.table(registry)) {
            TriggerPlan(&$0, registry: registry)
        }
        self.triggers = .map("triggers", "Sources wired to functions, by name.", of: trigger)
    }

    /// The table of the whole file: for the schema, the documentation and `explain`.
    package var table: FieldTable {
        FieldTable(
            "the configuration",
            "What Penstock runs.",
            [
                self.state, self.admin, self.deadLetters, self.drainTimeout, self.functions, self.triggers,
            ]
        )
    }

    /// Reads a document; all findings at once.
    package func read(_ document: ConfigurationDocument) -> ConfigurationResult<Plan> {
        document.read(self.table) { reader in
            var plan = Plan(
                state: reader[self.state],
                admin: reader[self.admin],
                deadLetters: reader[self.deadLetters],
                drainTimeout: reader[self.drainTimeout],
                functions: reader[self.functions],
                triggers: reader[self.triggers],
                text: PlanText(document.root)
            )
            Self.fit(&plan)
            Self.check(plan, &reader)
            return plan
        }
    }

    /// Tells the sources what their triggers say.
    private static func fit(_ plan: inout Plan) {
        for index in plan.triggers.indices {
            let trigger = plan.triggers[index].value
            guard let fit = trigger.source.fit, let function = plan.function(trigger.function.name) else {
                continue
            }
            let terms = TriggerTerms(
                functionTimeout: function.timeout,
                batchWindow: trigger.batch.window,
                batchSize: trigger.batch.size
            )
            plan.triggers[index].value.source = fit(terms)
        }
    }

    private static func check(_ plan: Plan, _ reader: inout ConfigurationReader) {
        let names = plan.functions.map(\.name)
        for trigger in plan.triggers {
            reader.resolve(trigger.value.function, among: names)
            guard let function = plan.function(trigger.value.function.name) else { continue }
            if function.takesSingleRecords, trigger.value.batch.size != 1 {
                reader.record(
                    Finding(
                        .conflict,
                        at: trigger.value.function.place,
                        path: trigger.path.key("batch").key("size"),
                        "the function \"\(trigger.value.function.source)\" takes one record at a time",
                        suggestion: "set batch.size to 1"
                    )
                )
            }
            if let lease = trigger.value.source.capabilities.lease, lease.length < function.timeout {
                let finding = Finding(
                    .conflict,
                    at: trigger.place,
                    path: trigger.path.key("source"),
                    "records are leased for \(lease.length.configurationText), and the function "
                        + "\"\(trigger.value.function.source)\" may take \(function.timeout.configurationText): when "
                        + "Penstock is cut off, others get the records while it is still at work",
                    suggestion: "lease them for longer, or give the function a shorter timeout"
                )
                reader.record(finding.asWarning)
            }
            if !function.answers { Self.checkAnswers(trigger, &reader) }
            Self.checkWindow(trigger, function, &reader)
        }
        Self.checkSharing(plan, &reader)
    }

    /// What a trigger expects of the answers of a function that gives none.
    private static func checkAnswers(_ trigger: Named<TriggerPlan>, _ reader: inout ConfigurationReader) {
        let source = trigger.value.function.source
        func finding(_ key: String, _ consequence: String) -> Finding {
            Finding(
                .conflict,
                at: trigger.value.function.place,
                path: trigger.path.key("failure").key(key),
                "the function \"\(source)\" is invoked without waiting for its answer, so \(consequence)",
                suggestion: "remove failure.\(key), or let the function answer"
            )
        }
        switch trigger.value.itemReports {
        case .ignored: break
        case .accepted:
            reader.record(finding("report_item_failures", "nothing is ever reported").asWarning)
        case .required: reader.record(finding("require_item_failures", "every batch would fail"))
        }
    }

    private static func checkSharing(_ plan: Plan, _ reader: inout ConfigurationReader) {
        var readers: [String: Named<TriggerPlan>] = [:]
        for trigger in plan.triggers {
            for part in trigger.value.source.exclusive {
                guard let other = readers[part] else {
                    readers[part] = trigger
                    continue
                }
                let finding = Finding(
                    .conflict,
                    at: trigger.place,
                    path: trigger.path.key("source"),
                    "\"\(other.name)\" and \"\(trigger.name)\" both read \(part), "
                        + Self.loss(between: other, and: trigger),
                    suggestion: Self.canShare(other, trigger)
                        ? "give each its own, or set \"filtered: release\"" : "give each its own"
                )
                reader.record(finding.asWarning)
            }
        }
    }

    /// Whether each could give back what is the other one's.
    private static func canShare(_ one: Named<TriggerPlan>, _ other: Named<TriggerPlan>) -> Bool {
        let capabilities = other.value.source.capabilities
        return capabilities.lease != nil && capabilities.order != .group && one.value.filter != nil
            && other.value.filter != nil
    }

    /// What two triggers lose that share a source.
    private static func loss(between one: Named<TriggerPlan>, and other: Named<TriggerPlan>) -> String {
        let taker = [one, other].first { $0.value.filter != nil && $0.value.filtered != .release }
        guard one.value.filter != nil, other.value.filter != nil, let taker else {
            return "so each gets only a part of the records"
        }
        let loser = taker.name == one.name ? other.name : one.name
        return "and \"\(taker.name)\" settles what its filters refuse, so that \"\(loser)\" never gets it"
    }
}
