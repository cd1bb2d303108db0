// SPDX-License-Identifier: Apache-2.0

package import PenstockCore

extension RuntimeContext {
    /// A source over the journal of a trigger, with one partition, which `feed` fills.
    ///
    /// - Throws: ``SourceError`` with `need`, such as `a schedule needs a store for its journal`, where no trigger runs.
    package func journalSource(
        of trigger: String,
        partition: String,
        format: any EventFormat,
        feed: any JournalFeed,
        need: String
    ) throws(SourceError) -> JournalSource {
        guard let journal = self.journal else {
            throw SourceError(.rejected, "\(need), and there is none here")
        }
        return JournalSource(
            journal: trigger,
            partition: Partition(id: PartitionID(1), name: partition),
            format: format,
            store: journal,
            feed: feed,
            loop: self.reactor
        )
    }
}
