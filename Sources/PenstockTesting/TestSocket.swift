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
        guard let socket = Self.bind(port: port) else { return nil }
        guard Glibc.listen(socket.descriptor, 64) == 0 else {
            socket.close()
            return nil
        }
        return socket
    }

    /// Takes a port without listening on it: nobody can connect; who also says SO_REUSEADDR can listen on it.
    static func bind(port: UInt16) -> TestSocket? {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { return nil }
        var one: Int32 = 1
        _ = unsafe setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<Int32>.size))
        guard unsafe Self.withAddress(port, { unsafe Glibc.bind(descriptor, $0, $1) }) == 0 else {
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

/// A TCP port on the loopback interface that is kept while the server of a test does not listen on it, so that the system
/// gives it to nobody who asks for a free one.
///
/// Connections to it are refused. The server can listen on it again, with SO_REUSEADDR. Given back with the last reference.
package final class HeldPort: Sendable {
    private let socket: TestSocket

    /// Takes the port; nil when somebody listens there.
    package init?(_ port: UInt16) {
        guard let socket = TestSocket.bind(port: port) else { return nil }
        self.socket = socket
    }

    deinit { self.socket.close() }
}
