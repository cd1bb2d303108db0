// SPDX-License-Identifier: Apache-2.0

import AWSClient
import ArgumentParser
import Foundation
import Glibc
import Logging
import PenstockAdmin
import PenstockConfiguration
import PenstockCore
import PenstockRuntime
import PenstockStore
import Reactor
import ServiceLifecycle
import UnixSignals

/// `penstock run`.
struct Run: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Runs all triggers of a configuration until it is told to stop.",
        discussion: """
            Logs go to standard error, one line each. SIGTERM or SIGINT drains: invocations finish within \
            drain_timeout, all is settled, the rest is given back. A second signal gives up at once; nothing is lost \
            then either, but records are delivered again.

            SIGHUP reads the file again: triggers and functions that changed are drained and started anew, the others \
            go on. A file that is not valid changes nothing. state, admin, dead_letters and drain_timeout take a restart.

            Exit codes: 0 stopped by a signal, 1 failed or gave up, 2 the configuration is not valid, 3 the \
            environment is not right: no file, the store or the admin port is in use, no permission.

            Examples:
              penstock run --config connectors.yaml --log-format json
              kill -HUP PID        after a change of connectors.yaml
            """
    )

    @OptionGroup var config: ConfigOptions
    @OptionGroup var log: LogOptions
    @Option(help: "A file that gets the admin API's port when it answers, for scripts that wait.")
    var readyFile: String?

    @concurrent
    func run() async throws {
        defer { LogStream.standardError.flush(within: .seconds(2)) }
        let (_, result) = self.config.read()
        for finding in result.findings {
            self.tell(finding.severity == .error ? .error : .warning, finding.description)
        }
        guard let plan = result.value, !result.findings.hasErrors else {
            throw self.ending(ConfigOptions.failure(self.config.config, result.findings))
        }
        do {
            try await self.serve(plan)
        } catch let error as StoreError {
            throw self.ending(CommandFailure(error))
        } catch let error as ListenError {
            throw self.ending(CommandFailure(.environment, "cannot-listen", "\(error)"))
        } catch let error as ExitCode {
            throw error
        } catch {
            throw self.ending(CommandFailure(.failed, "failed", "\(error)"))
        }
    }

    /// Tells why it ends, and gives the exit code.
    private func ending(_ failure: CommandFailure) -> ExitCode {
        let isForPrograms = self.log.logFormat == .json
        self.tell(.critical, isForPrograms ? failure.message : "penstock: \(failure.message)")
        return ExitCode(failure.exit.rawValue)
    }

    /// A line for people, or one of the log where that is for programs: they read nothing but JSON.
    private func tell(_ level: Logger.Level, _ text: String) {
        guard self.log.logFormat == .json else { return Terminal.complain(Terminal.visible(text)) }
        self.log.logger.log(level: level, "\(text)")
    }

    private func serve(_ plan: Plan) async throws {
        Self.raiseFileLimit()
        let logger = self.log.logger
        let reactor = try Reactor()
        let store: any StateStore =
            switch plan.state {
            case .sqlite(let path): try SQLiteStore.open(path: path)
            case .postgres(let location): try await PostgresStore.open(location, on: reactor)
            }
        let context = RuntimeContext(reactor: reactor, logger: logger)
        let supervisor = try await Supervisor(
            plan: plan,
            store: store,
            leases: self.leases(plan, store, context),
            context: context
        )
        let admin = self.admin(plan, supervisor, store, context)
        var services = ServiceGroupConfiguration(
            services: [
                // The first ends last: triggers that drain make calls, too.
                .init(service: CredentialService(pool: context.shared.part { CredentialPool() })),
                // Without the admin API nobody could look: the triggers are drained, and that is the end.
                .init(service: admin, failureTerminationBehavior: .gracefullyShutdownGroup),
                .init(service: supervisor),
            ],
            gracefulShutdownSignals: [],
            logger: Self.quiet(logger)
        )
        let limit = plan.drainTimeout + .seconds(10)
        services.maximumGracefulShutdownDuration = limit
        logger.info(
            "starting",
            metadata: [
                "version": "\(Penstock.version)", "config": "\(self.config.config)",
                "triggers": "\(plan.triggers.count)", "state": "\(plan.state)",
            ]
        )
        let ending: Result<Void, any Error>
        do {
            ending = .success(
                try await self.run(ServiceGroup(configuration: services), supervisor, within: limit, logger)
            )
        } catch {
            ending = .failure(error)
        }
        await store.close()
        reactor.stop()
        try ending.get()
        logger.info("stopped")
    }

    /// Makes this process a member of those that share the store, when the store is one that can be shared.
    private func leases(_ plan: Plan, _ store: any StateStore, _ context: RuntimeContext) -> LeaseKeeper? {
        guard let store = store as? any LeaseStore else { return nil }
        let member = ClusterMember(
            id: MemberID(""),
            name: "\(ProcessInfo.processInfo.hostName):\(getpid())",
            version: Penstock.version,
            admin: "\(plan.admin.advertise ?? plan.admin.listen)",
            started: context.reactor.wallNow
        )
        return LeaseKeeper(store, as: member, loop: context.reactor, logger: context.logger) {
            MemberID(UUID().uuidString.lowercased())
        }
    }

    private func admin(
        _ plan: Plan,
        _ supervisor: Supervisor,
        _ store: any StateStore,
        _ context: RuntimeContext
    ) -> AdminServer {
        let (logger, reactor, readyFile) = (context.logger, context.reactor, self.readyFile)
        let settings = AdminServer.Settings(
            listen: plan.admin.listen,
            token: plan.admin.token,
            version: Penstock.version,
            configuration: self.config.config,
            started: reactor.wallNow
        )
        return AdminServer(
            settings,
            operations: RunningPlan(supervisor),
            store: store,
            logger: logger,
            now: { reactor.wallNow }
        ) { port in
            let address = ListenAddress(host: plan.admin.listen.host, port: port)
            logger.info("ready", metadata: ["admin": "http://\(address)"])
            guard let readyFile else { return }
            do {
                try Data("\(port)\n".utf8).write(to: URL(fileURLWithPath: readyFile), options: .atomic)
            } catch {
                logger.error("the ready file cannot be written", metadata: ["file": "\(readyFile)"])
            }
        }
    }

    /// Runs the services and obeys signals until they have ended.
    ///
    /// Whatever hangs, the process ends half a minute after `limit`, the time that a stop may take.
    private func run(
        _ group: ServiceGroup,
        _ supervisor: Supervisor,
        within limit: Duration,
        _ logger: Logger
    ) async throws {
        let signals = await UnixSignalsSequence(trapping: .sigterm, .sigint, .sighup)
        let config = self.config
        // One reload after the other; a stop does not wait for them.
        let reloads = Mailbox<Void>()
        try await withThrowingTaskGroup(of: Bool.self) { tasks in
            tasks.addTask {
                try await group.run()
                return true
            }
            tasks.addTask {
                while await !reloads.takeAll().isEmpty { await Self.reload(config, supervisor, logger) }
                return false
            }
            tasks.addTask {
                var isStopping = false
                for await signal in signals {
                    if signal == .sighup {
                        reloads.put(())
                    } else if isStopping {
                        logger.warning("giving up at once", metadata: ["signal": "\(signal)"])
                        Self.endSurely(after: .seconds(5), logger)
                        throw ExitCode(CommandFailure.Exit.failed.rawValue)
                    } else {
                        isStopping = true
                        logger.info("draining", metadata: ["signal": "\(signal)"])
                        Self.endSurely(after: limit + .seconds(30), logger)
                        await group.triggerGracefulShutdown()
                    }
                }
                return false
            }
            defer { tasks.cancelAll() }
            while let hasEnded = try await tasks.next(), !hasEnded {}
        }
    }

    /// Ends the process after so long whatever still waits, such as for a disk that does not answer.
    ///
    /// That is a crash, by which nothing is lost; what is not settled comes again.
    private static func endSurely(after limit: Duration, _ logger: Logger) {
        try? OwnThread.start(name: "penstock-end") {
            Thread.sleep(forTimeInterval: limit / .seconds(1))
            logger.critical("the stop hangs; ending at once")
            LogStream.standardError.flush(within: .seconds(1))
            _exit(CommandFailure.Exit.failed.rawValue)
        }
    }

    /// What SIGHUP does.
    private static func reload(_ config: ConfigOptions, _ supervisor: Supervisor, _ logger: Logger) async {
        let (_, result) = config.read()
        for finding in result.findings { logger.warning("\(finding.description)") }
        guard let plan = result.value, !result.findings.hasErrors else {
            logger.error("the configuration on disk is not valid; what runs is kept")
            return
        }
        do {
            guard let changes = try await supervisor.apply(plan) else { return }
            logger.info("configuration applied", metadata: ["changes": "\(changes)"])
            if !changes.needingRestart.isEmpty {
                logger.warning(
                    "some changes take a restart of Penstock",
                    metadata: ["settings": "\(changes.needingRestart.joined(separator: ", "))"]
                )
            }
        } catch {
            logger.error(
                "the configuration on disk cannot be applied; what runs is kept",
                metadata: ["error": "\(error)"]
            )
        }
    }

    /// The group's own remarks would double ours.
    private static func quiet(_ logger: Logger) -> Logger {
        var logger = logger
        logger.logLevel = max(logger.logLevel, .error)
        return logger
    }

    /// Connections and processes need descriptors; the hard limit is what the administrator allows.
    private static func raiseFileLimit() {
        var limit = rlimit()
        guard unsafe getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        limit.rlim_cur = limit.rlim_max
        _ = unsafe setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }
}

/// Keeps credentials of AWS fresh that the parts of the process use.
private struct CredentialService: Service {
    let pool: CredentialPool

    func run() async {
        await cancelWhenGracefulShutdown { await self.pool.run() }
    }
}
