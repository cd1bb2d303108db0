// SPDX-License-Identifier: Apache-2.0

import Glibc
import Hummingbird
package import Logging
import NIOCore
package import PenstockConfiguration
package import PenstockCore
package import PenstockRuntime
package import PenstockStore
import ServiceLifecycle

/// The admin API, the metrics and the health checks, on HTTP/1.1.
///
/// Runs until a graceful stop. Needs nothing of Swift's pool for long: it only asks, and never blocks.
package struct AdminServer: Service {
    /// What it serves, and where.
    package struct Settings: Sendable {
        /// Where to listen; port 0 lets the system choose.
        package var listen: ListenAddress
        /// The bearer token that calls must carry; nil for none.
        package var token: Secret?
        /// Penstock's version.
        package var version: String
        /// The configuration file, as the operator named it.
        package var configuration: String
        /// When Penstock started.
        package var started: Timestamp
        /// Connections at once; more wait until one ends.
        package var connectionsMax = 256
        /// A connection that asks nothing for so long is closed.
        package var idleTimeout = Duration.seconds(60)

        /// Settings.
        package init(
            listen: ListenAddress,
            token: Secret?,
            version: String,
            configuration: String,
            started: Timestamp
        ) {
            self.listen = listen
            self.token = token
            self.version = version
            self.configuration = configuration
            self.started = started
        }
    }

    private let settings: Settings
    private let logger: Logger
    private let responder: AdminResponder
    private let listening: @Sendable (_ port: Int) async -> Void

    /// A server; it listens from ``run()`` on.
    ///
    /// `now` is the wall clock; `listening` is called once with the real port, when connections are accepted.
    package init(
        _ settings: Settings,
        operations: any Operations,
        store: any StateStore,
        logger: Logger,
        now: @escaping @Sendable () -> Timestamp,
        listening: @escaping @Sendable (_ port: Int) async -> Void
    ) {
        self.settings = settings
        self.logger = logger
        self.listening = listening
        self.responder = AdminResponder(
            settings: settings,
            operations: operations,
            store: store,
            now: now
        )
    }

    package func run() async throws {
        let listening = self.listening
        let application = Application(
            responder: self.responder,
            server: .http1(configuration: .init(idleTimeout: TimeAmount(self.settings.idleTimeout))),
            configuration: ApplicationConfiguration(
                address: .hostname(self.settings.listen.host, port: self.settings.listen.port),
                serverName: "penstock",
                // What nobody uses, or keeps open in great number, must not take the files that triggers need.
                availableConnectionsDelegate: .maximum(self.settings.connectionsMax, logger: self.quietLogger)
            ),
            onServerRunning: { channel in
                await listening(channel.localAddress?.port ?? 0)
            },
            logger: self.quietLogger
        )
        do {
            try await application.run()
        } catch let error as IOError {
            throw ListenError(self.settings.listen, error.errnoCode)
        } catch is SocketAddressError.UnknownHost {
            throw ListenError(unknown: self.settings.listen)
        }
    }

    /// The server's own remarks about connections are not for operators.
    private var quietLogger: Logger {
        var logger = self.logger
        logger.logLevel = max(logger.logLevel, .error)
        return logger
    }
}

/// Why the admin API cannot be served where it was told to.
package struct ListenError: Error, CustomStringConvertible {
    /// What is wrong and what to do.
    package let description: String

    init(_ address: ListenAddress, _ code: Int32) {
        let reason =
            switch code {
            case EADDRINUSE: "is in use; stop what listens there, or choose another port"
            case EACCES, EPERM: "is not allowed for this user; choose a port above 1023"
            case EADDRNOTAVAIL: "is no address of this machine; choose one that is, such as 127.0.0.1"
            default: "cannot be listened on (errno \(code))"
            }
        self.description = "admin.listen: \(address) \(reason)"
    }

    /// The name of a machine that nobody knows.
    init(unknown address: ListenAddress) {
        self.description =
            "admin.listen: \(address) names no machine that is known here; choose an address of this one, such as 127.0.0.1"
    }
}
