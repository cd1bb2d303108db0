// SPDX-License-Identifier: Apache-2.0

import Foundation

/// What the process finds around it: variables, and the shared files that they point to.
package struct AWSEnvironment: Sendable, Equatable {
    /// Where the profiles are.
    private enum Profiles: Equatable {
        case here(SharedConfiguration)
        case files(config: String, credentials: String)
    }

    /// Environment variables.
    package let variables: [String: String]

    private let profiles: Profiles

    /// An environment with exactly this.
    package init(variables: [String: String], shared: SharedConfiguration = SharedConfiguration()) {
        self.variables = variables
        self.profiles = .here(shared)
    }

    /// The environment of these variables, with the shared files that they point to.
    package init(filesOf variables: [String: String]) {
        let home = variables["HOME"] ?? NSHomeDirectory()
        self.variables = variables
        self.profiles = .files(
            config: variables["AWS_CONFIG_FILE"] ?? "\(home)/.aws/config",
            credentials: variables["AWS_SHARED_CREDENTIALS_FILE"] ?? "\(home)/.aws/credentials"
        )
    }

    /// The process's own.
    package static func process() -> AWSEnvironment {
        AWSEnvironment(filesOf: ProcessInfo.processInfo.environment)
    }

    /// The profiles of the shared files, which are read now: others write them.
    ///
    /// A file that is not there counts as empty.
    var shared: SharedConfiguration {
        switch self.profiles {
        case .here(let shared): return shared
        case .files(let config, let credentials):
            func text(_ path: String) -> String {
                (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
            }
            return SharedConfiguration(config: text(config), credentials: text(credentials))
        }
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
