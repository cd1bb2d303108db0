// SPDX-License-Identifier: Apache-2.0

import CReactor
import Glibc

/// What a process uses, from `/proc/PID/status` (proc(5)).
struct ProcessMemory: Equatable {
    /// Resident bytes now.
    var resident = 0

    /// Most resident bytes ever.
    var peak = 0

    /// Nothing known.
    init() {}

    /// Reads the lines `VmRSS:` and `VmHWM:`; 0 for a line that is missing, as in a zombie.
    init(status: UnsafeRawBufferPointer) {
        unsafe self.resident = Self.kibibytes("VmRSS:", in: status) << 10
        unsafe self.peak = Self.kibibytes("VmHWM:", in: status) << 10
    }

    private static func kibibytes(_ label: StaticString, in status: UnsafeRawBufferPointer) -> Int {
        guard
            let base = status.baseAddress,
            let found = unsafe penstock_find(base, status.count, label.utf8Start, label.utf8CodeUnitCount)
        else { return 0 }
        var index = unsafe UnsafeRawPointer(found) - base + label.utf8CodeUnitCount
        var value = 0
        while index < status.count {
            let byte = unsafe status[index]
            if byte == 0x0A { break }
            if byte >= 0x30, byte <= 0x39 {
                value = value &* 10 &+ Int(byte - 0x30)
            } else if value > 0 {
                break
            }
            index += 1
        }
        return value
    }
}

/// Keeps `/proc/PID/status` open, so that a sample is one system call.
struct ProcessMemoryReader: ~Copyable {
    private let descriptor: Int32

    /// Opens the status of a process that has not been waited for.
    init(pid: pid_t) {
        self.descriptor = unsafe penstock_open_read("/proc/\(pid)/status")
    }

    deinit {
        if self.descriptor >= 0 { close(self.descriptor) }
    }

    /// Reads it now; nil when the process is gone.
    func sample() -> ProcessMemory? {
        unsafe withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 8) { buffer in
            let count = unsafe pread(self.descriptor, buffer.baseAddress, buffer.count, 0)
            guard count > 0 else { return nil }
            return unsafe ProcessMemory(
                status: UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<count])
            )
        }
    }
}
