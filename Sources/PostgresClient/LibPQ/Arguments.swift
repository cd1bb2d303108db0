// SPDX-License-Identifier: Apache-2.0

import Glibc

/// The parameters of a statement as libpq takes them; free it after the call.
@unsafe
struct Arguments {
    let values: UnsafeMutableBufferPointer<UnsafePointer<CChar>?>
    let lengths: UnsafeMutableBufferPointer<Int32>
    let formats: UnsafeMutableBufferPointer<Int32>
    private let storage: UnsafeMutableRawBufferPointer

    init(_ parameters: [PostgresValue]) throws(PostgresError) {
        var size = 1
        for parameter in parameters {
            switch parameter {
            case .null: break
            case .text(let text):
                guard !text.utf8.contains(0) else {
                    throw PostgresError(.invalid, "a text holds a NUL, which Postgres cannot keep in one")
                }
                size += text.utf8.count + 1
            case .bytes(let bytes): size += bytes.count
            }
        }
        unsafe self.storage = .allocate(byteCount: size, alignment: 1)
        unsafe self.values = .allocate(capacity: parameters.count)
        unsafe self.lengths = .allocate(capacity: parameters.count)
        unsafe self.formats = .allocate(capacity: parameters.count)
        var offset = 0
        for (index, parameter) in parameters.enumerated() {
            let start = unsafe self.storage.baseAddress.map { unsafe $0 + offset }
            var value = unsafe start.map { unsafe UnsafePointer($0.assumingMemoryBound(to: CChar.self)) }
            var (length, format) = (0, PostgresFormat.text)
            switch parameter {
            case .null: unsafe value = nil
            case .text(let text):
                length = text.utf8.count
                unsafe UnsafeMutableRawBufferPointer(rebasing: self.storage[offset...]).copyBytes(
                    from: text.utf8
                )
                unsafe self.storage[offset + length] = 0
                offset += length + 1
            case .bytes(let bytes):
                (length, format) = (bytes.count, .binary)
                unsafe UnsafeMutableRawBufferPointer(rebasing: self.storage[offset...]).copyBytes(from: bytes)
                offset += length
            }
            unsafe self.values.initializeElement(at: index, to: value)
            unsafe self.lengths.initializeElement(at: index, to: Int32(clamping: length))
            unsafe self.formats.initializeElement(at: index, to: format.rawValue)
        }
    }

    func free() {
        unsafe self.storage.deallocate()
        unsafe self.values.deallocate()
        unsafe self.lengths.deallocate()
        unsafe self.formats.deallocate()
    }
}

/// Texts as C takes a list of them, with a null behind the last; free it after the call.
@unsafe
struct CStrings {
    let pointers: UnsafePointer<UnsafePointer<CChar>?>
    private let buffer: UnsafeMutableBufferPointer<UnsafePointer<CChar>?>

    init(_ texts: [String]) {
        unsafe self.buffer = .allocate(capacity: texts.count + 1)
        for (index, text) in texts.enumerated() {
            unsafe self.buffer.initializeElement(at: index, to: UnsafePointer(strdup(text)))
        }
        unsafe self.buffer.initializeElement(at: texts.count, to: nil)
        // A buffer of at least one element has a base.
        unsafe self.pointers = unsafe UnsafePointer(self.buffer.baseAddress.unsafelyUnwrapped)
    }

    func free() {
        for index in unsafe self.buffer.indices {
            unsafe Glibc.free(UnsafeMutablePointer(mutating: self.buffer[index]))
        }
        unsafe self.buffer.deallocate()
    }
}
