// SPDX-License-Identifier: Apache-2.0

import PenstockRuntime
import Testing

@Suite(.timeLimit(.minutes(5))) struct MailboxTests {
    @Test("The waiter takes all there is, in order")
    func takesAll() async {
        let mailbox = Mailbox<Int>()
        mailbox.put(1)
        mailbox.put(2)
        #expect(await mailbox.takeAll() == [1, 2])
        async let later = mailbox.takeAll()
        mailbox.put(3)
        #expect(await later == [3])
    }

    @Test("Closing lets the waiter go and keeps what is inside")
    func close() async {
        let mailbox = Mailbox<Int>()
        mailbox.put(1)
        mailbox.close()
        mailbox.put(2)
        #expect(await mailbox.takeAll() == [1])
        #expect(await mailbox.takeAll().isEmpty)
    }

    @Test("A cancelled waiter goes with nothing, and nothing is lost")
    func cancel() async {
        let mailbox = Mailbox<Int>()
        let waiter = Task { await mailbox.takeAll() }
        waiter.cancel()
        #expect(await waiter.value.isEmpty)
        mailbox.put(1)
        #expect(await mailbox.takeAll() == [1])
    }

    @Test("Many threads put, one task gets all")
    func concurrent() async {
        let mailbox = Mailbox<Int>()
        await withTaskGroup(of: Void.self) { group in
            for producer in 0..<8 {
                group.addTask { for index in 0..<1000 { mailbox.put(producer * 1000 + index) } }
            }
            var seen: Set<Int> = []
            while seen.count < 8000 { seen.formUnion(await mailbox.takeAll()) }
            #expect(seen == Set(0..<8000))
        }
    }
}
