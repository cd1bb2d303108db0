// SPDX-License-Identifier: Apache-2.0

import CReactor
import Glibc

/// A blocking TCP socket on the loopback interface, for test harnesses.
///
/// Close it once.
struct TestSocket: Sendable {
    let descriptor: Int32

    /// Connects; nil when nobody listens there.
    static func connect(port: UInt16) -> TestSocket? {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { return nil }
        guard unsafe Self.withAddress(port, { unsafe Glibc.connect(descriptor, $0, $1) }) == 0 else {
            Glibc.close(descriptor)
            return nil
        }
        return TestSocket(descriptor: descriptor)
    }

    /// Listens on a port, or on a free one for 0; nil when it is taken.
    static func listen(port: UInt16) -> TestSocket? {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { return nil }
        var one: Int32 = 1
        _ = unsafe setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<Int32>.size))
        guard unsafe Self.withAddress(port, { unsafe bind(descriptor, $0, $1) }) == 0,
            Glibc.listen(descriptor, 64) == 0
        else {
            Glibc.close(descriptor)
            return nil
        }
        return TestSocket(descriptor: descriptor)
    }

    /// The port it is bound to.
    var port: UInt16 {
        var address = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        unsafe withUnsafeMutableBytes(of: &address) { bytes in
            guard let pointer = unsafe bytes.baseAddress?.assumingMemoryBound(to: sockaddr.self) else {
                return
            }
            _ = unsafe getsockname(self.descriptor, pointer, &length)
        }
        return UInt16(bigEndian: address.sin_port)
    }

    /// Ends both directions; blocked calls return.
    func shutDown() {
        _ = shutdown(self.descriptor, Int32(SHUT_RDWR))
    }

    /// Gives the descriptor back.
    func close() {
        Glibc.close(self.descriptor)
    }

    private static func withAddress(
        _ port: UInt16,
        _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) -> Int32 {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        return unsafe withUnsafeBytes(of: &address) { bytes in
            guard let pointer = unsafe bytes.baseAddress?.assumingMemoryBound(to: sockaddr.self) else {
                return -1
            }
            return unsafe body(pointer, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
    }
}
