// SPDX-License-Identifier: Apache-2.0

package import AWSClient
import AWSConfiguration
package import AWSDestination
import CurlClient
package import PenstockConfiguration
import PenstockCore
package import PenstockRuntime

/// What stands under `s3:` of a destination.
package struct S3DestinationConfiguration: DocumentDestinationTable {
    static let bucketField = Field.string("bucket", "The bucket's name.")
    static let prefixField = Field.string(
        "prefix",
        "What keys begin with; AWS's own is the default.",
        default: "aws/lambda/"
    )

    /// The fields under `s3:`.
    package static let table = FieldTable(
        "s3",
        "Puts an object into a bucket for each letter: AWS's failure document with the record in it, however large.",
        [Self.bucketField, Self.prefixField] + AWSFields.all
    )

    package let service: S3Bucket
    package let options: AWSOptions

    /// Reads the table.
    package init(_ reader: inout ConfigurationReader) {
        let bucket = reader[Self.bucketField]
        reader.require(
            S3Bucket.isName(bucket),
            at: Self.bucketField,
            code: .badValue,
            "\"\(bucket.prefix(160))\" is not a bucket's name",
            suggestion: "write 3 to 63 small letters, digits, dots and hyphens, such as orders-failed"
        )
        self.service = S3Bucket(name: bucket, prefix: reader[Self.prefixField])
        var options = AWSOptions(
            &reader,
            region: nil,
            connections: DocumentDestination<S3Bucket>.connections
        )
        let own = AWSEndpoint.url(service: "s3", region: options.region)
        // AWS wants the bucket in the host's name; its certificate has no name for one with a dot in it, and others know
        // it in the path alone.
        if options.endpoint == nil, !bucket.contains(".") {
            options.endpoint = own.replacing("https://", with: "https://\(bucket).", maxReplacements: 1)
        } else {
            let endpoint = options.endpoint ?? own
            options.endpoint = "\(endpoint)\(endpoint.hasSuffix("/") ? "" : "/")\(bucket)"
        }
        self.options = options
    }
}

/// A bucket: the call `PutObject` (Amazon S3 API Reference).
///
/// The key is that of AWS's event source mappings, `aws/lambda/MAPPING/SHARD/YYYY/MM/DD/YYYY-MM-DDTHH.MM.SS-UUID`
/// (esm-spec 3.2), with the trigger's name, and the partition's where there are no shards. The UUID is made from the record's position: two objects
/// about the same record have it in common.
package struct S3Bucket: DocumentService {
    package static let signingName = "s3"
    package static let form = FailureDocument.Form.object
    package static let permission = "s3:PutObject"
    package static let missingCode = "NoSuchBucket"

    /// Bytes that one call can put: 5 GB, more than any document has.
    package var sizeMax: Int { 5_000_000_000 }

    let name: String
    let prefix: String

    /// Bytes of a key at most.
    private static let keyMax = 1024

    package var summary: String { "s3 bucket \(self.name)" }

    package func advice(_ code: String) -> String? {
        switch code {
        case "NoSuchBucket": "create the bucket, or check \"bucket\" and \"endpoint\""
        case "PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException":
            "set \"region\" to the bucket's"
        default: nil
        }
    }

    /// `GetBucketLocation`, whose refusal says why; that of `HeadBucket` has no body.
    ///
    /// No call that writes nothing needs `s3:PutObject`.
    package var probes: DocumentProbes {
        var call = AWSCall(method: .get, path: "/")
        call.query = [("location", "")]
        return DocumentProbes(target: (call, "s3:GetBucketLocation"), sending: nil)
    }

    package func call(_ document: OutgoingDocument) -> AWSCall {
        let segments = self.key(document).split(separator: "/", omittingEmptySubsequences: false)
        let path = segments.map { PercentEncoding.encode(String($0)) }.joined(separator: "/")
        var call = AWSCall(method: .put, path: "/\(path)", body: .bytes(document.json))
        call.headers = [("Content-Type", "application/json")]
        return call
    }

    /// Where a document is put.
    func key(_ document: OutgoingDocument) -> String {
        // 2026-01-31T08:00:00Z, perhaps with a fraction of a second.
        let time = document.at.configurationText.prefix(19)
        let day = time.prefix(10).replacing("-", with: "/")
        let place = document.shard ?? "results"
        let tail = "/\(day)/\(time.replacing(":", with: "."))-\(StableID.uuid(document.identity))"
        let head = "\(self.prefix)\(document.trigger)/\(place)"
        return head.utf8.count + tail.utf8.count <= Self.keyMax
            ? head + tail : "\(self.prefix)\(StableID.digest(Array(head.utf8)))\(tail)"
    }

    /// Amazon S3 User Guide, "General purpose bucket naming rules".
    static func isName(_ text: String) -> Bool {
        let isPlain = text.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
                UInt8(ascii: "-"), UInt8(ascii: "."):
                true
            default: false
            }
        }
        return (3...63).contains(text.utf8.count) && isPlain && !text.contains("..")
            && !text.hasPrefix("-") && !text.hasSuffix("-") && !text.hasPrefix(".") && !text.hasSuffix(".")
    }
}
