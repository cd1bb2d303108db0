// SPDX-License-Identifier: Apache-2.0

import PenstockConfiguration
import PenstockSchedules

/// Reads files beside the configuration, and notices what is in them.
struct ScheduleFiles {
    private var hasher: Hasher?

    /// Stands for all that was read, within this process; nil when nothing was.
    var hash: Int? { self.hasher.map { $0.finalize() } }

    mutating func read(_ path: String, _ bytesMax: Int) throws(FileReadError) -> [UInt8] {
        let bytes = try ConfigurationLoader.process.readFile(path, bytesMax)
        var hasher = self.hasher ?? Hasher()
        hasher.combine(bytes.count)
        unsafe bytes.withUnsafeBytes { unsafe hasher.combine(bytes: $0) }
        self.hasher = hasher
        return bytes
    }
}

/// `except` of a schedule: local days, and calendars.
struct ScheduleExceptions {
    private let field: Field<[String]>
    private var days: [Int] = []
    private var calendars: [(text: String, file: CalendarFile)] = []

    /// Reads the list, and the calendars that it names.
    init(
        _ reader: inout ConfigurationReader,
        at field: Field<[String]>,
        reading files: inout ScheduleFiles
    ) {
        self.field = field
        for text in reader[field] {
            var problem: String?
            if text.lowercased().hasSuffix(".ics") {
                do throws(FileReadError) {
                    let bytes = try files.read(text, CalendarFile.bytesMax)
                    do throws(CalendarFile.Problem) {
                        self.calendars.append((text, try CalendarFile(bytes)))
                    } catch {
                        problem = "\(error)"
                    }
                } catch {
                    problem = "the file \(error.detail)"
                }
                problem = problem.map { ", which cannot be used: \($0)" }
            } else if text.utf8.count == 10, let seconds = LocalTime.seconds(text.utf8) {
                self.days.append(seconds / 86_400)
            } else {
                problem = ", which is no date; write 2026-12-25, or the path of an .ics file"
            }
            self.tell(text, problem, &reader)
        }
    }

    /// When nothing fires, for a schedule in a zone.
    func exclusions(in zone: ZoneRules, _ reader: inout ConfigurationReader) -> Exclusions {
        var spans = self.days.map { zone.span(ofLocalDay: $0) }
        for (text, file) in self.calendars {
            do throws(CalendarFile.Problem) {
                spans += try file.spans(in: zone)
            } catch {
                self.tell(text, ", which cannot be used: \(error)", &reader)
            }
        }
        return Exclusions(spans)
    }

    private func tell(_ text: String, _ problem: String?, _ reader: inout ConfigurationReader) {
        reader.require(
            problem == nil,
            at: self.field,
            code: .badValue,
            "holds \"\(text.prefix(200))\"\(problem ?? "")"
        )
    }
}
