// SPDX-License-Identifier: Apache-2.0

package import AWSClient
package import PenstockConfiguration

/// The fields that say where a service of AWS is, and as whom it is called: the same in each table that has them.
package enum AWSFields {
    /// `region`.
    package static let region = Field.string(
        "region",
        "Such as eu-west-1; by default that of the ARN, of AWS_REGION, or of the profile."
    ).optional
    /// `endpoint`.
    package static let endpoint = Field.url(
        "endpoint",
        "Instead of AWS's own: an emulator, or a private endpoint."
    ).optional
    /// `profile`.
    package static let profile = Field.string(
        "profile",
        "The profile of AWS's shared files to use, instead of looking for credentials everywhere."
    ).optional
    /// `credentials`.
    package static let credentials = Field.table(
        "credentials",
        "Keys of their own, instead of those that the environment, files or the machine give.",
        of: AWSKeys.self
    ).optional

    /// All of them, in the order in which they are documented.
    package static let all: [any AnyField] = [Self.region, Self.endpoint, Self.profile, Self.credentials]
}

/// Keys that stand in the configuration.
package struct AWSKeys: ConfigurationTable {
    static let key = Field.string("access_key_id", "The access key's id.")
    static let secret = Field.secret(
        "secret_access_key",
        "The secret of the key, from ${NAME} or ${file:…}."
    )
    static let token = Field.secret("session_token", "Goes with temporary keys.").optional
    package static let table = FieldTable("credentials", "Keys of their own.", [key, secret, token])

    let value: AWSCredentials

    package init(_ reader: inout ConfigurationReader) {
        self.value = AWSCredentials(
            accessKeyID: reader[Self.key],
            secretAccessKey: reader[Self.secret].reveal(),
            sessionToken: reader[Self.token]?.reveal()
        )
    }
}

extension AWSOptions {
    /// Reads ``AWSFields/all``, which must be in the reader's table.
    ///
    /// - Parameters:
    ///   - reader: Stands at the table.
    ///   - named: The region that something else of the table names, such as an ARN; another one is a conflict.
    ///   - connections: Calls in flight at most.
    package init(_ reader: inout ConfigurationReader, region named: String?, connections: Int) {
        let profile = reader[AWSFields.profile]
        let environment = AWSEnvironment.process()
        let asked = reader[AWSFields.region]
        let region = asked ?? named ?? environment.region(profile: profile)
        reader.require(
            region != nil,
            at: AWSFields.region,
            "is not known: neither here nor in an ARN, AWS_REGION or the profile",
            suggestion: "set region: eu-west-1 or the like"
        )
        reader.require(
            asked == nil || named == nil || asked == named,
            at: AWSFields.region,
            "is another one than that of the ARN (\(named ?? ""))"
        )
        let given = reader[AWSFields.credentials]?.value
        reader.require(
            given == nil || profile == nil,
            at: AWSFields.profile,
            "and \"credentials\" exclude each other"
        )
        self.init(region: region ?? "", environment: environment, connections: connections)
        self.endpoint = reader[AWSFields.endpoint]?.text
        self.credentials = given
        self.profile = profile
    }
}
