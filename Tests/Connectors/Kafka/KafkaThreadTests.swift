// SPDX-License-Identifier: Apache-2.0

import Glibc
import Logging
import PenstockRuntime
import Testing

@testable import KafkaConnector

/// From now on the system has no room for the stack of another thread of this process.
private func refuseThreads() -> Bool {
    typealias SetDefault = @convention(c) (UnsafePointer<pthread_attr_t>) -> Int32
    guard let program = unsafe dlopen(nil, RTLD_NOW),
        let symbol = unsafe dlsym(program, "pthread_setattr_default_np")
    else { return false }
    var attributes = pthread_attr_t()
    let setDefault = unsafe unsafeBitCast(symbol, to: SetDefault.self)
    guard unsafe pthread_attr_init(&attributes) == 0,
        unsafe pthread_attr_setstacksize(&attributes, 1 << 47) == 0
    else { return false }
    return unsafe setDefault(&attributes) == 0
}

/// What becomes of Kafka's parts when there is no thread for them.
@Suite(.timeLimit(.minutes(2)))
struct KafkaThreadTests {
    @Test("A source without a thread fails to start, says how to get one, and stops")
    func source() async {
        await #expect(processExitsWith: .exitCode(42)) {
            let source = KafkaSource(.fixture("127.0.0.1:1", ["t"]), logger: Logger(label: "test"))
            guard refuseThreads() else { exit(1) }
            do throws(SourceError) {
                try await source.start(checkpoints: [:])
                exit(2)
            } catch {
                guard error.code == .unreachable, error.detail == KafkaThread.noThread else { exit(3) }
            }
            await source.stop()
            exit(42)
        }
    }

    @Test("A destination without a thread cannot be made, and says how to get one")
    func destination() async {
        await #expect(processExitsWith: .exitCode(42)) {
            let configuration = KafkaDestinationConfiguration(brokers: ["127.0.0.1:1"], topic: "t")
            guard refuseThreads() else { exit(1) }
            do throws(DestinationError) {
                _ = try await KafkaDestination(configuration, logger: Logger(label: "test"))
                exit(2)
            } catch {
                exit(error.description.contains("raise its limit") ? 42 : 3)
            }
        }
    }

    @Test("What doctor cannot look at for want of a thread is told")
    func examination() async {
        await #expect(processExitsWith: .exitCode(42)) {
            let examination = KafkaExamination(
                .fixture("127.0.0.1:1", ["t"]),
                logger: Logger(label: "test")
            )
            guard refuseThreads() else { exit(1) }
            let found = await examination.run()
            exit(found == [.error("settings", KafkaThread.noThread)] ? 42 : 2)
        }
    }
}
