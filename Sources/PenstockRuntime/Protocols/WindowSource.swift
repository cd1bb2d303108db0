// SPDX-License-Identifier: Apache-2.0

package import PenstockCore

/// A source that can go on in the middle of a tumbling window.
///
/// The pipeline commits up to the beginning of an open window only, and keeps beside that how far it has come in it. Where
/// such a source begins exactly where a kept window does, it goes on behind the window's position instead, and hands the
/// window over as ``Partition/kept``. Others have committed something else: then it begins there, without the window.
/// Other sources begin each window anew.
package protocol WindowSource: Source {
    /// Like ``Source/start(checkpoints:)``, with the windows that were kept, by partition name.
    ///
    /// What is committed later replaces them: see ``PartitionPosition/window``.
    func start(
        checkpoints: [String: Position],
        windows: [String: KeptWindow]
    ) async throws(SourceError)
}
