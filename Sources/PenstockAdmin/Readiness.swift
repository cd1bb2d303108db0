// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockRuntime

/// Whether Penstock makes progress, not merely whether it lives.
enum Readiness {
    /// How long records may be in flight without any being settled: two invocations and a pause, at least a minute.
    static func patience(timeout: Duration?) -> Duration {
        max(.seconds(60), (timeout ?? .zero) * 2 + .seconds(30))
    }

    /// Why a trigger is not ready; nil when it is.
    ///
    /// `stall` is how long it has stood still with records in flight.
    static func reason(_ snapshot: TriggerSnapshot, stall: Duration?, timeout: Duration?) -> String? {
        switch snapshot.state {
        case .failed, .blocked:
            return "\(snapshot.state.rawValue): \(snapshot.detail ?? "no details")"
        case .running, .starting, .stopping:
            if let blocked = snapshot.blocked.first(where: \.isOverdue) { return blocked.remark }
            guard let stall, stall > Self.patience(timeout: timeout) else { return nil }
            return
                "\(snapshot.counters.inFlight) records in flight and none settled for \(Int(stall.inSeconds)) s"
        case .paused, .standby, .stopped:
            return nil
        }
    }
}

/// Remembers since when each trigger has stood still.
///
/// A trigger stands still from the moment it was first seen with records in flight and the same progress as before.
struct StallWatch {
    private struct Sighting {
        var progress: Timestamp?
        var settled: UInt64
        var since: Timestamp
    }

    private var sightings: [String: Sighting] = [:]

    /// How long each trigger with records in flight has stood still.
    mutating func look(_ snapshots: [TriggerSnapshot], now: Timestamp) -> [String: Duration] {
        var stalls: [String: Duration] = [:]
        var next: [String: Sighting] = [:]
        for snapshot in snapshots where snapshot.counters.inFlight > 0 && snapshot.state != .paused {
            let counters = snapshot.counters
            let settled =
                counters.succeeded + counters.deadLettered + counters.filtered + counters.cancelled
                + counters.released
            var sighting = Sighting(progress: snapshot.lastProgress, settled: settled, since: now)
            if let old = self.sightings[snapshot.name], old.progress == sighting.progress,
                old.settled == settled
            {
                sighting.since = old.since
            }
            next[snapshot.name] = sighting
            stalls[snapshot.name] = now - sighting.since
        }
        self.sightings = next
        return stalls
    }
}
