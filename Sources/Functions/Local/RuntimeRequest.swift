// SPDX-License-Identifier: Apache-2.0

/// One request of a runtime, complete.
struct RuntimeRequest {
    /// What it asks for.
    var route = RuntimeRoute.unknown

    /// The body; empty when it was too large.
    var body: [UInt8] = []

    /// Whether the body had more than 6 MiB and 100 bytes; the rest was read and dropped.
    var isTooLarge = false

    /// `Lambda-Runtime-Function-Error-Type`: a header of `/error`, a trailer of a streamed response that
    /// broke.
    var errorType: String?

    /// `Lambda-Runtime-Function-Error-Body`, base64: a trailer of a streamed response that broke.
    var errorBody: String?

    /// Whether the connection stays open after the answer.
    var keepsAlive = true
}

/// The calls of the Runtime API (esm-spec 8.2).
enum RuntimeRoute: Equatable {
    case next
    case response(id: [UInt8])
    case failure(id: [UInt8])
    case initFailure
    case unknown

    /// Longest path that is looked at; a request id has 36 bytes.
    static let pathMax = 1024

    /// Reads method and path.
    init(isPost: Bool, path: [UInt8]) {
        self = Self.route(isPost: isPost, path: path[...]) ?? .unknown
    }

    private static func route(isPost: Bool, path: ArraySlice<UInt8>) -> Self? {
        guard let rest = path.behind(Self.base) else { return nil }
        if !isPost { return rest.elementsEqual(Self.nextPath) ? .next : nil }
        if rest.elementsEqual(Self.initErrorPath) { return .initFailure }
        guard let invocation = rest.behind(Self.invocation) else { return nil }
        guard let slash = invocation.firstIndex(of: UInt8(ascii: "/")), slash > invocation.startIndex else {
            return nil
        }
        let id = Array(invocation[..<slash])
        let verb = invocation[(slash + 1)...]
        if verb.elementsEqual(Self.responseVerb) { return .response(id: id) }
        return verb.elementsEqual(Self.errorVerb) ? .failure(id: id) : nil
    }

    private static let base = Array("/2018-06-01/runtime/".utf8)
    private static let nextPath = Array("invocation/next".utf8)
    private static let initErrorPath = Array("init/error".utf8)
    private static let invocation = Array("invocation/".utf8)
    private static let responseVerb = Array("response".utf8)
    private static let errorVerb = Array("error".utf8)
}

extension ArraySlice<UInt8> {
    /// What follows `prefix`; nil when the slice does not begin with it.
    fileprivate func behind(_ prefix: [UInt8]) -> ArraySlice<UInt8>? {
        self.starts(with: prefix) ? self.dropFirst(prefix.count) : nil
    }
}
