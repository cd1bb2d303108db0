// SPDX-License-Identifier: Apache-2.0

import Dispatch
import Glibc
import PenstockCore
import Reactor
import Synchronization

/// A moment on the clocks that a measurement needs: time passed, CPU used (getrusage of this process).
struct Reading: Sendable {
    /// CLOCK_MONOTONIC.
    var nanoseconds: Int64
    /// User and system time.
    var cpuMicroseconds: Double

    static var now: Reading {
        var time = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        var usage = rusage()
        unsafe getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        let seconds = Double(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
        let micro = Double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec)
        return Reading(
            nanoseconds: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec),
            cpuMicroseconds: seconds * 1e6 + micro
        )
    }

    /// Seconds since another reading.
    func seconds(since earlier: Reading) -> Double {
        Double(self.nanoseconds - earlier.nanoseconds) / 1e9
    }

    /// Microseconds of CPU since another reading, for each of `count` items.
    func cpu(since earlier: Reading, per count: Int) -> Double {
        (self.cpuMicroseconds - earlier.cpuMicroseconds) / Double(max(1, count))
    }

    /// The largest resident set so far, in KiB.
    static var maxRSS: Int {
        var usage = rusage()
        unsafe getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        return usage.ru_maxrss
    }
}

/// Durations of single operations, in nanoseconds.
struct Latencies: Sendable {
    private var sorted: [Int64]

    init(_ nanoseconds: [Int64]) {
        self.sorted = nanoseconds.sorted()
    }

    /// The duration below which `percent` of them are, in microseconds; 0 when there are none.
    func microseconds(atPercent percent: Int) -> Double {
        guard !self.sorted.isEmpty else { return 0 }
        return Double(self.sorted[min(self.sorted.count - 1, self.sorted.count * percent / 100)]) / 1000
    }
}

/// The one line that a subcommand prints: keys in order, numbers only.
struct JSONLine {
    private var fields: [String] = []

    mutating func add(_ key: String, _ value: Int) { self.fields.append("\"\(key)\": \(value)") }
    mutating func add(_ key: String, _ value: Double) { self.fields.append("\"\(key)\": \(value)") }

    func print() { Swift.print("{" + self.fields.joined(separator: ", ") + "}") }
}

/// Runs `body` on the reactor while the calling thread, which is the main one, waits: nothing of it is on the main actor.
func onReactor<Value: Sendable>(
    _ reactor: Reactor,
    _ body: @escaping @Sendable () async throws -> Value
) throws -> Value {
    let done = DispatchSemaphore(value: 0)
    let outcome = Mutex<Result<Value, any Error>?>(nil)
    // The caller waits below; there is no task that could be the parent of this one.
    _ = Task.detached(executorPreference: reactor) {
        do {
            let value = try await body()
            outcome.withLock { $0 = .success(value) }
        } catch {
            outcome.withLock { $0 = .failure(error) }
        }
        done.signal()
    }
    done.wait()
    guard let result = outcome.withLock({ $0 }) else { throw BenchFailure("nothing was measured") }
    return try result.get()
}
