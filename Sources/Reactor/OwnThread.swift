// SPDX-License-Identifier: Apache-2.0

import CReactor
import Glibc

/// Threads for what blocks, which neither a loop nor Swift's pool may do.
package enum OwnThread {
    /// Why there is none.
    package struct StartError: Error {
        /// What pthread_create(3) says: an errno.
        package let code: Int32
    }

    private final class Body: Sendable {
        let run: @Sendable () -> Void

        init(_ run: @escaping @Sendable () -> Void) {
            self.run = run
        }
    }

    /// Runs `body` on a thread of its own, which nobody joins.
    ///
    /// - Parameters:
    ///   - name: What it is called, of at most 15 bytes; as the one that starts it when nil.
    ///   - body: What it does.
    /// - Throws: ``StartError`` when the system has no threads left; `body` runs on none then.
    package static func start(
        name: String? = nil,
        _ body: @escaping @Sendable () -> Void
    ) throws(StartError) {
        let context = unsafe Unmanaged.passRetained(Body(body)).toOpaque()
        var thread = pthread_t()
        let result = unsafe pthread_create(
            &thread,
            nil,
            { context in
                guard let context = unsafe context else { return nil }
                unsafe Unmanaged<Body>.fromOpaque(context).takeRetainedValue().run()
                return nil
            },
            context
        )
        guard result == 0 else {
            unsafe Unmanaged<Body>.fromOpaque(context).release()
            throw StartError(code: result)
        }
        if let name { _ = unsafe penstock_set_thread_name(thread, name) }
        pthread_detach(thread)
    }
}
