// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Dispatch
import Foundation
import Logging
import PenstockAdmin
import PenstockConfiguration
import PenstockCore
import PenstockRuntime
import PenstockStore
import Reactor
import ServiceLifecycle
import UnixSignals

@main struct Penstock: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "penstock", subcommands: [Run.self])
}

struct Run: ParsableCommand {
    @Option var config = "connectors.yaml"
    @Option var readyFile: String?

    func run() throws {
        let result = PlanReader(registry).read(ConfigurationLoader.process.load(self.config))
        for finding in result.findings { FileHandle.standardError.write(Data("\(finding)\n".utf8)) }
        guard let plan = result.value else { throw ExitCode(2) }
        let (config, readyFile) = (self.config, self.readyFile)
        let done = DispatchSemaphore(value: 0)
        _ = Task.detached {
            do { try await Self.serve(plan, config, readyFile) } catch {
                FileHandle.standardError.write(Data("error: \(error)\n".utf8))
                Foundation.exit(1)
            }
            done.signal()
        }
        done.wait()
    }

    private static func serve(_ plan: Plan, _ config: String, _ readyFile: String?) async throws {
        let logger = Logger(label: "penstock", factory: { StreamLogHandler.standardError(label: $0) })
        let reactor = try Reactor()
        guard case .sqlite(let path) = plan.state else { return }
        let store = try SQLiteStore.open(path: path)
        let context = RuntimeContext(reactor: reactor, logger: logger)
        let supervisor = try await Supervisor(plan: plan, store: store, context: context)
        let settings = AdminServer.Settings(
            listen: plan.admin.listen, token: plan.admin.token, version: "0.1.0", configuration: config,
            started: reactor.wallNow
        )
        let admin = AdminServer(
            settings, operations: RunningPlan(supervisor), store: store, logger: logger, now: { reactor.wallNow }
        ) { port in
            logger.info("ready", metadata: ["port": "\(port)"])
            if let readyFile { try? Data("\(port)\n".utf8).write(to: URL(fileURLWithPath: readyFile)) }
        }
        let group = ServiceGroup(
            configuration: .init(
                services: [.init(service: admin), .init(service: supervisor)],
                gracefulShutdownSignals: [.sigterm, .sigint], logger: logger
            )
        )
        try await group.run()
        await store.close()
        reactor.stop()
    }
}
