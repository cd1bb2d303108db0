// SPDX-License-Identifier: Apache-2.0

import Foundation

/// What the process finds around it: variables, and the shared files that they point to.
package struct AWSEnvironment: Sendable {
    /// Environment variables.
    package var variables: [String: String]

    /// The profiles of the shared files.
    package var shared: SharedConfiguration

    /// An environment with exactly this.
    package init(variables: [String: String], shared: SharedConfiguration = SharedConfiguration()) {
        self.variables = variables
        self.shared = shared
    }

    /// The process's own; files that are not there count as empty.
    package static func process() -> AWSEnvironment {
        let variables = ProcessInfo.processInfo.environment
        let home = variables["HOME"] ?? NSHomeDirectory()
        func text(_ variable: String, _ file: String) -> String {
            let path = variables[variable] ?? "\(home)/.aws/\(file)"
            return (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
        }
        return AWSEnvironment(
            variables: variables,
            shared: SharedConfiguration(
                config: text("AWS_CONFIG_FILE", "config"),
                credentials: text("AWS_SHARED_CREDENTIALS_FILE", "credentials")
            )
        )
    }

    /// A variable that says something.
    func variable(_ name: String) -> String? {
        guard let value = self.variables[name], !value.isEmpty else { return nil }
        return value
    }

    /// The profile that counts when none is asked for.
    var profileName: String {
        self.variable("AWS_PROFILE") ?? self.variable("AWS_DEFAULT_PROFILE") ?? "default"
    }

    /// The region of the variables, or of a profile; nil when nobody says one.
    package func region(profile: String?) -> String? {
        self.variable("AWS_REGION") ?? self.variable("AWS_DEFAULT_REGION")
            ?? self.shared.profile(profile ?? self.profileName)?["region"]
    }
}

/// Where the services of a region are.
package enum AWSEndpoint {
    /// `https://lambda.eu-west-1.amazonaws.com`, with the suffix of the region's partition.
    package static func url(service: String, region: String) -> String {
        "https://\(service).\(region).\(self.suffix(of: region))"
    }

    /// The second part of the ARNs of a region: `aws`, `aws-cn`.
    package static func partition(of region: String) -> String {
        switch region {
        case _ where region.hasPrefix("cn-"): "aws-cn"
        case _ where region.hasPrefix("us-gov-"): "aws-us-gov"
        case _ where region.hasPrefix("us-isob-"): "aws-iso-b"
        case _ where region.hasPrefix("us-iso-"): "aws-iso"
        case _ where region.hasPrefix("eusc-"): "aws-eusc"
        default: "aws"
        }
    }

    /// Whether an endpoint is AWS's own, in the region's partition: public, private (a VPC endpoint), or none given.
    ///
    /// Anything else may have the API and bend its rules.
    package static func isAWS(_ endpoint: String?, region: String) -> Bool {
        guard let endpoint else { return true }
        let rest = endpoint.split(separator: "/", maxSplits: 1).last.map { $0.drop { $0 == "/" } } ?? ""
        let host = rest.prefix { $0 != "/" && $0 != ":" && $0 != "?" && $0 != "#" }
        return host.lowercased().hasSuffix(".\(self.suffix(of: region))")
    }

    private static func suffix(of region: String) -> String {
        switch region {
        case _ where region.hasPrefix("cn-"): "amazonaws.com.cn"
        case _ where region.hasPrefix("us-isob-"): "sc2s.sgov.gov"
        case _ where region.hasPrefix("us-iso-"): "c2s.ic.gov"
        case _ where region.hasPrefix("eusc-"): "amazonaws.eu"
        default: "amazonaws.com"
        }
    }
}
