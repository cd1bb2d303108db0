// SPDX-License-Identifier: Apache-2.0

import PostgresClient
import Synchronization

@testable import PostgresConnector

/// Keeps what a listener hears.
final class Ears: Sendable {
    private struct State {
        var heard: [String] = []
        var isListening = false
    }

    private let state = Mutex(State())

    var heard: [String] { self.state.withLock { $0.heard } }
    var isListening: Bool { self.state.withLock { $0.isListening } }

    func listener(_ channels: [String], ping: Duration = .seconds(15)) -> ListenSession.Listener {
        ListenSession.Listener(
            channels: channels,
            ping: ping,
            notified: { notifications in
                let payloads = notifications.map { String(decoding: $0.payload, as: UTF8.self) }
                self.state.withLock { $0.heard += payloads }
            },
            changed: { change in
                self.state.withLock { state in
                    if case .listening = change {
                        state.isListening = true
                    } else {
                        state.isListening = false
                    }
                }
            }
        )
    }
}
