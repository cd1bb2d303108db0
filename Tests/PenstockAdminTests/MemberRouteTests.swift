// SPDX-License-Identifier: Apache-2.0

import PenstockAdmin
import PenstockConfiguration
import PenstockCore
import PenstockRuntime
import PenstockStore
import PenstockTesting
import Testing

/// What a member tells of those that share its store.
@Suite(.timeLimit(.minutes(5)))
struct MemberRouteTests {
    static var figures: MembershipFigures {
        var figures = MembershipFigures()
        figures.members = 2
        figures.leasesHeld = 1
        figures.leasesLost = 3
        figures.deaths = 1
        figures.lastBeat = Timestamp(milliseconds: 0)
        return figures
    }

    static var status: ClusterStatus {
        let members = ["a", "b"].map { name in
            ClusterMember(
                id: MemberID("id-\(name)"),
                name: "\(name).example:7",
                version: "1.2.3",
                admin: "127.0.0.1:8077",
                started: Timestamp(milliseconds: 0),
                pools: ["triggers"]
            )
        }
        let leases = [
            LeaseState(
                lease: LeaseName("trigger/orders", pool: "triggers"),
                owner: MemberID("id-a"),
                epoch: 4,
                askedBy: MemberID("id-b")
            ),
            LeaseState(lease: LeaseName("trigger/uploads", pool: "triggers"), owner: nil, epoch: 2),
        ]
        return ClusterStatus(me: MemberID("id-b"), view: ClusterView(members: members, leases: leases))
    }

    @Test("All members are told, with what each holds")
    func members() async throws {
        try await AdminFixture.serve { admin in
            #expect(try await admin.get("/api/v1/members").json()["shared"] == .boolean(false))
            admin.operations.share(Self.figures, Self.status)
            let document = try await admin.get("/api/v1/members").json()
            let members = try #require(document["members"]?.arrayValue)
            #expect(members.map { $0["name"]?.stringValue } == ["a.example:7", "b.example:7"])
            #expect(members.map { $0["leases"]?.integerValue } == [1, 0])
            #expect(members.map { $0["self"] } == [.boolean(false), .boolean(true)])
            let leases = try #require(document["leases"]?.arrayValue)
            #expect(leases.map { $0["owner"]?.stringValue } == ["a.example:7", nil])
            #expect(leases.first?["asked_by"]?.stringValue == "b.example:7")
            #expect(leases.first?["epoch"]?.integerValue == 4)
        }
    }

    @Test("A schedule that another member runs is ordered there")
    func standby() async throws {
        try await AdminFixture.serve { admin in
            admin.operations.set([
                ScriptedOperations.snapshot("stopped", state: .standby, detail: "runs on a.example:7")
            ])
            let answer = try await admin.send("POST", "/api/v1/schedules/stopped/fire", body: "{}")
            #expect(try answer.status == 503 && answer.code() == "standby")
            #expect(answer.text.contains("a.example:7"))
        }
    }
}
