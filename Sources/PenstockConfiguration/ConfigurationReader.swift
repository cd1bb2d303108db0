// SPDX-License-Identifier: Apache-2.0

/// Reads the fields of one mapping and collects what is wrong with them.
///
/// A table declares its fields once and takes their values from the reader:
///
/// ```swift
/// struct KafkaSourceConfiguration: ConfigurationTable {
///     static let brokers = Field.strings("brokers", "Bootstrap servers, each host:port.")
///     static let start = Field.choice("start", "Where a new group begins.", default: Start.latest)
///     static let window = Field.duration("window", "How long to wait for more.", default: .seconds(1))
///     static let password = Field.secret("password", "For SASL; take it from ${NAME}.").optional
///     static let table = FieldTable("kafka", "Reads topics as a group.", [brokers, start, window, password])
///
///     let brokers: [String]
///     let start: Start
///     let window: Duration
///     let password: Secret?
///
///     init(_ reader: inout ConfigurationReader) {
///         self.brokers = reader[Self.brokers]
///         self.start = reader[Self.start]
///         self.window = reader[Self.window]
///         self.password = reader[Self.password]
///         reader.require(self.window <= .seconds(300), at: Self.window, "must be at most 300s")
///     }
/// }
///
/// let result = ConfigurationLoader.process.load("connectors.yaml").read(KafkaSourceConfiguration.self)
/// for finding in result.findings { … }
/// ```
///
/// Reading never throws and never stops at the first finding: a field that cannot be read gives its default
/// or a harmless stand-in, and the result as a whole has no value when there was an error.
package struct ConfigurationReader {
    /// What was found so far, in the order of reading.
    package private(set) var findings: [Finding] = []

    /// The way to this mapping.
    package var path: ConfigurationPath { self.subject.path }

    /// Where this mapping stands.
    package var place: Place { self.subject.node.place }

    private let table: FieldTable
    private let subject: Subject

    /// Fields that have no value of their own: rules about them would only repeat what was said.
    private var unread: Set<String> = []

    init(_ table: FieldTable, _ subject: Subject, allowsExtensions: Bool = false) {
        self.table = table
        self.subject = subject
        let names = table.fields.map(\.name)
        for entry in subject.node.entries ?? [] where !names.contains(entry.key) {
            if allowsExtensions, entry.key.hasPrefix("x-") { continue }
            let message = "unknown key \"\(entry.key.prefix(80))\" in \(table.title)"
            let path = subject.path.key(entry.key)
            let advice =
                Self.below(table, entry.key) ?? didYouMean(entry.key, among: names) ?? Self.keys(names)
            self.findings.append(
                Finding(.unknownKey, at: entry.place, path: path, message, suggestion: advice)
            )
        }
    }

    /// The value of a field; its default when the key is left out.
    ///
    /// The field must be in the table: a field that is not would be an unknown key to everybody else.
    package subscript<Value>(_ field: Field<Value>) -> Value {
        mutating get {
            precondition(
                self.table[field.name] != nil,
                "\(self.table.title): \(field.name) is not in the table"
            )
            guard let entry = self.subject.node.entry(field.name) else { return self.absent(field) }
            let inner = Subject(node: entry.value, path: self.path.key(field.name), label: field.name)
            if let value = field.kind.read(inner, &self.findings) { return value }
            self.unread.insert(field.name)
            if case .value(let value, _) = field.absence { return value }
            return field.kind.placeholder()
        }
    }

    /// Whether the operator gave the key.
    package func has(_ field: any AnyField) -> Bool {
        self.subject.node.entry(field.name) != nil
    }

    /// Records an error when a rule between fields does not hold; says nothing about a field that has already
    /// been found wrong, because its value is only a stand-in.
    ///
    /// - Parameters:
    ///   - condition: The rule.
    ///   - field: The field that the finding points at; the mapping itself when the key is left out.
    ///   - code: What kind of finding it is.
    ///   - message: The end of the sentence that begins with the field's name: `must be at most 300s`.
    ///   - suggestion: The way out.
    package mutating func require(
        _ condition: Bool,
        at field: any AnyField,
        code: Finding.Code = .conflict,
        _ message: String,
        suggestion: String? = nil
    ) {
        if condition || self.unread.contains(field.name) { return }
        self.findings.append(self.finding(at: field, code, message, suggestion))
    }

    /// Records a warning when something is allowed and unwise; otherwise like
    /// ``require(_:at:code:_:suggestion:)``.
    package mutating func advise(
        _ condition: Bool,
        at field: any AnyField,
        code: Finding.Code = .conflict,
        _ message: String,
        suggestion: String? = nil
    ) {
        if condition || self.unread.contains(field.name) { return }
        self.findings.append(self.finding(at: field, code, message, suggestion).asWarning)
    }

    /// Records a finding that is not about a field of this mapping.
    package mutating func record(_ finding: Finding) {
        self.findings.append(finding)
    }

    /// Records an error when a reference names nothing.
    package mutating func resolve(_ reference: Reference, among names: [String]) {
        if reference.name.isEmpty || names.contains(reference.name) { return }
        let message = "there is no \"\(reference.source.prefix(80))\" in \(reference.section)"
        let known =
            names.isEmpty ? "\(reference.section) is empty" : "known are \(names.joined(separator: ", "))"
        let advice = didYouMean(reference.source, among: names) ?? known
        self.findings.append(
            Finding(.unknownReference, at: reference.place, path: reference.path, message, suggestion: advice)
        )
    }

    private mutating func absent<Value>(_ field: Field<Value>) -> Value {
        switch field.absence {
        case .value(let value, _):
            return value
        case .emptyTable:
            let node = ConfigurationNode(.mapping([]), at: self.place)
            let inner = Subject(node: node, path: self.path.key(field.name), label: field.name)
            return field.kind.read(inner, &self.findings) ?? field.kind.placeholder()
        case .refused:
            self.unread.insert(field.name)
            let message = "missing key \"\(field.name)\" in \(self.table.title)"
            let advice = "it must be \(field.shape.noun)"
            let path = self.path.key(field.name)
            self.findings.append(
                Finding(.missingKey, at: self.place, path: path, message, suggestion: advice)
            )
            return field.kind.placeholder()
        }
    }

    private func finding(
        at field: any AnyField,
        _ code: Finding.Code,
        _ message: String,
        _ suggestion: String?
    ) -> Finding {
        let place = self.subject.node.entry(field.name)?.value.place ?? self.place
        let path = self.path.key(field.name)
        return Finding(code, at: place, path: path, "\"\(field.name)\" \(message)", suggestion: suggestion)
    }

    /// For a key that belongs one level deeper.
    private static func below(_ table: FieldTable, _ key: String) -> String? {
        let owner = table.fields.first { field in
            guard case .table(let inner) = field.shape else { return false }
            return inner[key] != nil
        }
        return owner.map { "it belongs under \"\($0.name)\"" }
    }

    private static func keys(_ names: [String]) -> String? {
        guard !names.isEmpty, names.count <= 12 else { return nil }
        return "its keys are \(names.joined(separator: ", "))"
    }
}

/// What came of reading a document.
package struct ConfigurationResult<Value: Sendable>: Sendable {
    /// Nil when a finding is an error.
    package let value: Value?

    /// All of them, in the order of the file.
    package let findings: [Finding]

    /// What came of reading; a value goes with findings that are no errors.
    package init(value: Value?, findings: [Finding]) {
        self.value = value
        self.findings = findings
    }
}

extension ConfigurationDocument {
    /// Reads the whole document by a table.
    package func read<Value: ConfigurationTable>(
        _ type: Value.Type = Value.self
    ) -> ConfigurationResult<Value> {
        self.read(Value.table) { Value(&$0) }
    }

    /// Reads the whole document by a table that was put together at run time.
    ///
    /// Keys of the root that begin with `x-` are the operator's own: a place for anchors.
    package func read<Value: Sendable>(
        _ table: FieldTable,
        _ body: (inout ConfigurationReader) -> Value
    ) -> ConfigurationResult<Value> {
        if self.root.isInvalid {
            return ConfigurationResult(value: nil, findings: self.findings.inOrder)
        }
        let subject = Subject(node: self.root, path: .root, label: table.title)
        guard self.root.entries != nil else {
            let found = self.root.elements == nil ? "a text" : "a list"
            let message = "the file must hold a mapping, not \(found)"
            let advice = table.fields.first.map { "begin with a key such as `\($0.name):`" }
            let findings = self.findings + [subject.finding(.wrongType, message, advice)]
            return ConfigurationResult(value: nil, findings: findings.inOrder)
        }
        var reader = ConfigurationReader(table, subject, allowsExtensions: true)
        let value = body(&reader)
        let findings = (self.findings + reader.findings).inOrder
        return ConfigurationResult(value: findings.hasErrors ? nil : value, findings: findings)
    }
}
