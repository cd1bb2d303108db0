// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import Hummingbird

/// The web page: files of the folder `Page`, which are in the program itself.
///
/// They hold no data and need no token; their scripts ask the API like any other client.
enum AdminPage {
    /// One file, as browsers get it.
    struct File: Sendable {
        let type: String
        let body: ByteBuffer
        /// An entity tag (RFC 9110 section 8.8.3) that changes with the bytes.
        let tag: String

        fileprivate init(_ type: String, _ bytes: [UInt8]) {
            self.type = type
            self.body = ByteBuffer(bytes: bytes)
            // FNV-1a: against what is stale, not against anybody.
            let hash = bytes.reduce(0xCBF2_9CE4_8422_2325 as UInt64) {
                ($0 ^ UInt64($1)) &* 0x100_0000_01B3
            }
            self.tag = "\"\(String(hash, radix: 16))\""
        }
    }

    /// The files by path.
    private static let files: [[String]: File] = [
        []: File("text/html; charset=utf-8", PackageResources.index_html),
        ["page", "page.css"]: File("text/css; charset=utf-8", PackageResources.page_css),
        ["page", "page.mjs"]: Self.script(PackageResources.page_mjs),
        ["page", "views.mjs"]: Self.script(PackageResources.views_mjs),
        ["page", "text.mjs"]: Self.script(PackageResources.text_mjs),
        ["page", "dom.mjs"]: Self.script(PackageResources.dom_mjs),
        ["page", "api.mjs"]: Self.script(PackageResources.api_mjs),
    ]

    private static func script(_ bytes: [UInt8]) -> File { File("text/javascript; charset=utf-8", bytes) }

    /// The file of a path; nil for all other paths.
    static func file(at path: [String]) -> File? { self.files[path] }

    /// What the page may load and do: our own files and API alone, in no other site's frame, and no text of it becomes HTML
    /// or a script (Content Security Policy Level 3, Trusted Types).
    static let policy = [
        "default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "img-src data:",
        "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
        "require-trusted-types-for 'script'", "trusted-types 'none'",
    ].joined(separator: "; ")

    /// The file, or 304 when the browser has it: it asks each time, so that a new version is seen at once.
    static func answer(_ file: File, to request: Request) -> Response {
        var headers: HTTPFields = [
            .cacheControl: "no-cache", .eTag: file.tag, .xContentTypeOptions: "nosniff",
            .contentSecurityPolicy: self.policy,
        ]
        // With `no-referrer` a browser may hide its `Origin`, which the access rule looks at.
        if let name = HTTPField.Name("Referrer-Policy") { headers[name] = "same-origin" }
        let known = request.headers[values: .ifNoneMatch].joined(separator: ",").split(separator: ",")
        let isKnown = known.contains { text in
            let tag = text.drop { $0 == " " || $0 == "\t" }
            return tag == "*" || (tag.hasPrefix("W/") ? tag.dropFirst(2) : tag).hasPrefix(file.tag)
        }
        if isKnown { return Response(status: .notModified, headers: headers) }
        headers[.contentType] = file.type
        return Response(status: .ok, headers: headers, body: ResponseBody(byteBuffer: file.body))
    }
}
