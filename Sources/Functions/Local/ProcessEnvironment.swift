// SPDX-License-Identifier: Apache-2.0

import PenstockCore

/// The environment of a function's process: what is configured and what the Runtime API promises
/// (esm-spec 8.2), and nothing else.
///
/// Pure.
struct ProcessEnvironment {
    /// Names that only Penstock sets.
    static let reserved: Set<String> = [
        "_HANDLER", "_X_AMZN_TRACE_ID", "AWS_LAMBDA_RUNTIME_API", "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_INITIALIZATION_TYPE",
        "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR",
        "PENSTOCK_RUNTIME_SOCKET",
    ]

    /// Where programs are looked up when `environment` has no `PATH`.
    static let defaultPath = "/usr/local/bin:/usr/bin:/bin"

    /// `NAME=value`, in order of name.
    var entries: [String]

    /// The value of `PATH`.
    var path: String

    /// What differs from process to process.
    struct Instance {
        /// `AWS_LAMBDA_RUNTIME_API`: `127.0.0.1:port`.
        var runtimeAPI: String
        /// `PENSTOCK_RUNTIME_SOCKET`: a path; nil when there is none.
        var socket: String?
        /// The working directory, absolute.
        var directory: String
        /// When it starts.
        var startedAt: Timestamp
        /// 32 hexadecimal digits, for the log stream's name.
        var streamID: String
    }

    /// The environment of one process.
    init(function: String, configuration: LocalFunctionConfiguration, instance: Instance) {
        var variables: [String: String] = [
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_REGION": "us-east-1",
            "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
            "LANG": "en_US.UTF-8",
            "PATH": Self.defaultPath,
            "TZ": ":UTC",
        ]
        if let region = configuration.environment["AWS_REGION"] { variables["AWS_DEFAULT_REGION"] = region }
        variables.merge(configuration.environment) { _, listed in listed }
        variables.merge([
            "_HANDLER": configuration.handlerName,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "\(configuration.memory >> 20)",
            "AWS_LAMBDA_FUNCTION_NAME": function,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/\(function)",
            "AWS_LAMBDA_LOG_STREAM_NAME": "\(Self.date(instance.startedAt))/[$LATEST]\(instance.streamID)",
            "AWS_LAMBDA_RUNTIME_API": instance.runtimeAPI,
            "LAMBDA_RUNTIME_DIR": instance.directory,
            "LAMBDA_TASK_ROOT": instance.directory,
        ]) { _, ours in ours }
        variables["PENSTOCK_RUNTIME_SOCKET"] = instance.socket
        self.path = variables["PATH"] ?? Self.defaultPath
        self.entries = variables.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
    }

    /// `YYYY/MM/DD` in UTC.
    private static func date(_ time: Timestamp) -> String {
        String(time.configurationText.prefix(10).map { $0 == "-" ? "/" : $0 })
    }
}
