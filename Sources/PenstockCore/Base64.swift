// SPDX-License-Identifier: Apache-2.0

/// Base64 by a table of 4,096 pairs: 12 bits of input are two characters, stored at once (perf.md section 3).
enum Base64 {
    private static let alphabet = Array(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8
    )

    // Made once, never written again and never freed.
    nonisolated(unsafe) private static let pairs: UnsafePointer<UInt16> = {
        let table = UnsafeMutablePointer<UInt16>.allocate(capacity: 4096)
        for value in 0..<4096 {
            let pair = UInt16(alphabet[value >> 6]) | UInt16(alphabet[value & 63]) << 8
            unsafe (table + value).initialize(to: pair.littleEndian)
        }
        return unsafe UnsafePointer(table)
    }()

    /// Writes the base64 of `count` bytes at `source`, padded, and returns where it ends.
    static func encode(
        _ source: UnsafeRawPointer,
        count: Int,
        to target: UnsafeMutableRawPointer
    ) -> UnsafeMutableRawPointer {
        let table = unsafe Self.pairs
        var input = unsafe source
        var output = unsafe target
        var rest = count
        // Six bytes become eight characters; the load reads eight, so two must follow.
        while rest >= 8 {
            let word = unsafe UInt64(bigEndian: input.loadUnaligned(as: UInt64.self))
            let first = unsafe UInt64(table[Int(word >> 52)])
            let second = unsafe UInt64(table[Int((word >> 40) & 0xFFF)])
            let third = unsafe UInt64(table[Int((word >> 28) & 0xFFF)])
            let fourth = unsafe UInt64(table[Int((word >> 16) & 0xFFF)])
            let characters = first | second << 16 | third << 32 | fourth << 48
            unsafe output.storeBytes(of: characters.littleEndian, as: UInt64.self)
            unsafe input += 6
            unsafe output += 8
            rest -= 6
        }
        while rest > 0 {
            let bytes = min(rest, 3)
            var group: UInt32 = 0
            for index in 0..<bytes {
                group |=
                    unsafe UInt32(input.load(fromByteOffset: index, as: UInt8.self))
                    << (16 - 8 * UInt32(index))
            }
            unsafe output.storeBytes(of: table[Int(group >> 12)], as: UInt16.self)
            unsafe output.storeBytes(of: table[Int(group & 0xFFF)], toByteOffset: 2, as: UInt16.self)
            if bytes < 3 { unsafe output.storeBytes(of: UInt8(ascii: "="), toByteOffset: 3, as: UInt8.self) }
            if bytes < 2 { unsafe output.storeBytes(of: UInt8(ascii: "="), toByteOffset: 2, as: UInt8.self) }
            unsafe input += bytes
            unsafe output += 4
            rest -= bytes
        }
        return unsafe output
    }
}
