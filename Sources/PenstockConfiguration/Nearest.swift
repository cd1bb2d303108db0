// SPDX-License-Identifier: Apache-2.0

/// The candidate that a mistyped word most likely means, or nil when none is near.
///
/// Near is an optimal string alignment distance (insert, delete, replace, swap neighbours) of at most a third
/// of the word's length, and at least 1.
func nearest(to word: String, among candidates: [String]) -> String? {
    let limit = max(1, min(word.count, 64) / 3)
    return
        candidates
        .map { (name: $0, distance: alignmentDistance(Array(word.lowercased()), Array($0.lowercased()))) }
        .filter { $0.distance <= limit && $0.distance < $0.name.count }
        .min { ($0.distance, $0.name) < ($1.distance, $1.name) }?
        .name
}

/// `did you mean "queue_url"?`, or nil when no candidate is near.
package func didYouMean(_ word: String, among candidates: [String]) -> String? {
    nearest(to: word, among: candidates).map { "did you mean \"\($0)\"?" }
}

private func alignmentDistance(_ left: [Character], _ right: [Character]) -> Int {
    guard abs(left.count - right.count) < 32, left.count < 256 else { return .max }
    guard !left.isEmpty, !right.isEmpty else { return max(left.count, right.count) }
    var beforeLast: [Int] = []
    var last = Array(0...right.count)
    for row in 1...left.count {
        var current = [row]
        for column in 1...right.count {
            let replaced = last[column - 1] + (left[row - 1] == right[column - 1] ? 0 : 1)
            var best = min(last[column] + 1, current[column - 1] + 1, replaced)
            if row > 1, column > 1, left[row - 1] == right[column - 2], left[row - 2] == right[column - 1] {
                best = min(best, beforeLast[column - 2] + 1)
            }
            current.append(best)
        }
        (beforeLast, last) = (last, current)
    }
    return last[right.count]
}
