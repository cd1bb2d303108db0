// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockSchedules
import Testing

/// Time zones of the system.
@Suite struct ZoneTests {
    private static func time(_ text: String) throws -> Int {
        try #require(LocalTime.seconds(text.utf8))
    }

    @Test(
        "A zone has the offset that the world had, and the one its rule gives for years to come",
        arguments: [
            ("Europe/Berlin", "1979-07-01T00:00:00", 3600), ("Europe/Berlin", "1980-07-01T00:00:00", 7200),
            ("Europe/Berlin", "2026-03-29T00:59:59", 3600), ("Europe/Berlin", "2026-03-29T01:00:00", 7200),
            ("Europe/Berlin", "2199-07-01T00:00:00", 7200), ("Europe/Berlin", "2199-12-01T00:00:00", 3600),
            ("Europe/Dublin", "2026-07-01T00:00:00", 3600), ("Europe/Dublin", "2090-01-01T00:00:00", 0),
            ("Asia/Kathmandu", "1985-12-31T00:00:00", 19_800),
            ("Asia/Kathmandu", "2026-01-01T00:00:00", 20_700),
            ("Australia/Lord_Howe", "2026-01-01T00:00:00", 39_600),
            ("Australia/Lord_Howe", "2150-07-01T00:00:00", 37_800),
            ("Pacific/Apia", "2011-12-30T09:59:59", -36_000), ("Pacific/Apia", "2011-12-30T10:00:00", 50_400),
            ("Africa/Monrovia", "1971-01-01T00:00:00", -2670),
            ("America/St_Johns", "2026-07-01T00:00:00", -9000),
            ("America/Nuuk", "2100-07-01T00:00:00", -3600),
            ("America/Santiago", "2100-07-01T00:00:00", -14_400),
            ("Africa/Casablanca", "2026-07-01T00:00:00", 3600), ("Asia/Gaza", "2120-12-01T00:00:00", 7200),
            ("EST5EDT", "2100-07-01T00:00:00", -14_400), ("Etc/GMT+12", "2026-07-01T00:00:00", -43_200),
            ("UTC", "2026-07-01T00:00:00", 0),
        ]
    )
    func offset(name: String, time: String, offset: Int) throws {
        #expect(try ZoneDatabase.system.zone(name).offset(at: Self.time(time)) == offset)
    }

    @Test("Offsets are Foundation's, month by month, in zones of all kinds")
    func foundation() throws {
        // Their rules have been the same for years, so that two editions of the zones agree.
        let names = [
            "Europe/London", "Europe/Helsinki", "Europe/Lisbon", "America/Los_Angeles", "America/Phoenix",
            "America/St_Johns", "America/Halifax", "America/Bogota", "Asia/Kolkata", "Asia/Tokyo",
            "Asia/Kabul",
            "Australia/Adelaide", "Australia/Eucla", "Pacific/Auckland", "Pacific/Marquesas", "Africa/Lagos",
        ]
        for name in names + PropertyTests.zones {
            let zone = try ZoneDatabase.system.zone(name)
            let other = try #require(TimeZone(identifier: name))
            for time in stride(from: 0, to: 4_102_444_800, by: 86_400 * 9 + 3600 * 7) {
                let offset = other.secondsFromGMT(for: Date(timeIntervalSince1970: Double(time)))
                #expect(zone.offset(at: time) == offset, "\(name) at \(time)")
            }
        }
    }

    @Test("Each place of the system's table has a zone that can be read")
    func all() throws {
        let table = try String(contentsOfFile: "/usr/share/zoneinfo/zone1970.tab", encoding: .utf8)
        let names = table.split(separator: "\n").filter { !$0.hasPrefix("#") }
            .compactMap { $0.split(separator: "\t").dropFirst(2).first }
        #expect(names.count > 300)
        for name in names { #expect(throws: Never.self) { try ZoneDatabase.system.zone(String(name)) } }
    }

    @Test(
        "A name that is no place's zone is refused with the way out, and this machine's zone is none",
        arguments: [
            ("Europe/Berln", "did you mean \"Europe/Berlin\"?"),
            ("europe/berlin", "did you mean \"Europe/Berlin\"?"),
            ("Berlin", "did you mean \"Europe/Berlin\"?"), ("+02:00", "Etc/GMT-2"), ("", "no time zone \"\""),
            ("localtime", "no time zone"), ("posixrules", "no time zone"),
            ("right/Europe/Berlin", "no time zone"),
            ("posix/Europe/Berlin", "no time zone"), ("../zoneinfo/Europe/Berlin", "no time zone"),
            ("/usr/share/zoneinfo/Europe/Berlin", "no time zone"), ("tzdata.zi", "no time zone"),
            ("Europe", "no time zone"), ("Europe/", "no time zone"), ("leapseconds", "no time zone"),
            ("Nowhere/Atlantis", "names are those of the IANA"),
        ]
    )
    func unknown(name: String, text: String) throws {
        let problem = #expect(throws: ZoneDatabase.Problem.self) { try ZoneDatabase.system.zone(name) }
        #expect(problem?.description.contains(text) == true, "\(problem?.description ?? "")")
        #expect(problem?.isEnvironment == false)
    }

    @Test("Without zones on the machine, UTC works and the others are told to be missing")
    func noZones() throws {
        let none = ZoneDatabase(folder: "/nowhere")
        #expect(try none.zone("UTC").offset(at: 0) == 0)
        let problem = #expect(throws: ZoneDatabase.Problem.self) { try none.zone("Europe/Berlin") }
        #expect(problem?.isEnvironment == true)
        #expect(problem?.description.contains("install tzdata") == true)
    }

    @Test("A file that is cut short, or broken, is told and never trips")
    func broken() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
            "zones-\(UUID().uuidString)"
        )
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let whole = try [UInt8](Data(contentsOf: URL(fileURLWithPath: "/usr/share/zoneinfo/Europe/Berlin")))
        var random = SeededRandom(seed: 3)
        for number in 0..<400 {
            var bytes = whole
            if number.isMultiple(of: 2) {
                bytes = Array(bytes.prefix(Int.random(in: 5..<whole.count - 1, using: &random)))
            } else {
                for _ in 0..<8 {
                    bytes[Int.random(in: 4..<bytes.count, using: &random)] = .random(
                        in: 0...255,
                        using: &random
                    )
                }
            }
            try Data(bytes).write(to: folder.appendingPathComponent("Zone"))
            let database = ZoneDatabase(folder: folder.path)
            do {
                let zone = try database.zone("Zone")
                _ = Schedule(try ScheduleExpression("0 2 * * *"), in: zone).next(after: 1_700_000_000)
                #expect(number % 2 == 1, "what is cut short was read")
            } catch {
                #expect("\(error)".contains("the time zone file"))
            }
        }
    }
}
