// SPDX-License-Identifier: Apache-2.0

import Logging
import PenstockCore
import PenstockStore

extension Pipeline {
    /// Where each partition would go; it changes nothing.
    func moves(for order: SeekOrder) async throws(SeekError) -> [SeekMove] {
        try await self.seekable.moves(for: order)
    }

    /// Drains as ``stop(within:)`` does, moves partitions to other positions, and ends.
    ///
    /// Whether it succeeds or not, another pipeline goes on from what the store and upstream have then.
    func seek(_ order: SeekOrder, within limit: Duration) async throws(SeekError) -> SeekReport {
        let source = try self.seekable
        var result = Result<SeekReport, SeekError>.failure(.busy(self.parts.name))
        await self.stop(within: limit) {
            self.isMoving = true
            do throws(SeekError) {
                result = .success(try await self.move(source, order))
            } catch {
                result = .failure(error)
            }
        }
        return try result.get()
    }

    private var seekable: any SeekableSource {
        get throws(SeekError) {
            guard self.hasStarted, let source = self.parts.source as? any SeekableSource else {
                throw SeekError(
                    .notRunning,
                    "trigger \"\(self.parts.name)\" is not connected yet; try again when it runs"
                )
            }
            return source
        }
    }

    /// Moves partitions, at rest: all is settled or released, and committed.
    private func move(
        _ source: any SeekableSource,
        _ order: SeekOrder
    ) async throws(SeekError) -> SeekReport {
        let moves = try await source.moves(for: order)
        // Behind all that was to be saved before; what comes later is not saved any more.
        await self.obtain(self.saveTurns.take())
        defer { self.saveTurns.end() }
        let before: [Checkpoint]
        do throws(StoreError) {
            before = try await self.kept(of: moves)
            try await self.replace(
                moves.compactMap { self.checkpoint($0) },
                removing: moves.filter { $0.checkpoint == nil }.map(\.partition)
            )
        } catch {
            throw SeekError(.store, "nothing has moved: \(error.detail)")
        }
        let followed: Set<String>
        do throws(SourceError) {
            followed = try await source.follow(moves)
        } catch {
            await self.putBack(before, of: moves)
            throw .unfollowed(error)
        }
        let lost = moves.filter { !followed.contains($0.partition) }
        if !lost.isEmpty { await self.putBack(before, of: lost) }
        let moved = moves.filter { followed.contains($0.partition) }
        self.logger.notice(
            "an operator moved partitions to other positions",
            metadata: ["count": "\(moved.count)", "to": "\(order.target)", "lost": "\(lost.count)"]
        )
        return SeekReport(moves: moved, lost: lost.map(\.partition))
    }

    private func checkpoint(_ move: SeekMove) -> Checkpoint? {
        move.checkpoint.map {
            Checkpoint(trigger: self.parts.name, partition: move.partition, position: $0)
        }
    }

    /// What the store has of these partitions now.
    private func kept(of moves: [SeekMove]) async throws(StoreError) -> [Checkpoint] {
        let positions = try await self.parts.store.checkpoints(of: self.parts.name)
        let windows = try await self.parts.store.windows(of: self.parts.name)
        return moves.compactMap { move in
            positions[move.partition].map {
                Checkpoint(
                    trigger: self.parts.name,
                    partition: move.partition,
                    position: $0,
                    window: windows[move.partition]
                )
            }
        }
    }

    private func replace(
        _ checkpoints: [Checkpoint],
        removing partitions: [String]
    ) async throws(StoreError) {
        try await self.parts.store.replaceCheckpoints(
            of: self.parts.name,
            with: checkpoints,
            removing: partitions
        )
    }

    /// Upstream did not follow: the store goes back to where upstream is.
    private func putBack(_ checkpoints: [Checkpoint], of moves: [SeekMove]) async {
        let names = Set(moves.map(\.partition))
        let old = checkpoints.filter { names.contains($0.partition) }
        do throws(StoreError) {
            try await self.replace(old, removing: names.subtracting(old.map(\.partition)).sorted())
        } catch {
            // Upstream's positions count where it has any, so that this matters only where it has none.
            self.logger.error(
                "checkpoints of a seek that upstream refused stay in the store",
                metadata: ["error": "\(error)", "partitions": "\(names.sorted())"]
            )
        }
    }
}

extension SeekError {
    /// Upstream refused the new positions; when it did not answer, nobody knows whether it has taken them.
    fileprivate static func unfollowed(_ error: SourceError) -> SeekError {
        guard error.code == .unreachable else {
            return SeekError(.upstream, "nothing has moved: \(error.detail)")
        }
        return SeekError(
            .upstream,
            "it is not known whether upstream has moved: \(error.detail); look at `penstock triggers show`, and seek again"
        )
    }

    /// Something else ends the pipeline.
    static func busy(_ trigger: String) -> SeekError {
        SeekError(
            .busy,
            "trigger \"\(trigger)\" is being stopped or moved already; see `penstock triggers show` and try again"
        )
    }
}
