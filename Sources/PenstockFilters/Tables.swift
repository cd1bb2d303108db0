// SPDX-License-Identifier: Apache-2.0

internal import Glibc

// What the matcher reads and writes: memory without reference counts and without exclusivity checks. Indices are checked
// in debug builds, which is what the tests run.

/// A table of plain values; whoever makes it frees it.
@safe
struct Table<Element: BitwiseCopyable> {
    private let base: UnsafeMutablePointer<Element>
    let count: Int

    init(_ elements: [Element]) {
        self.count = elements.count
        unsafe self.base = .allocate(capacity: max(1, elements.count))
        for (index, element) in elements.enumerated() { unsafe (self.base + index).initialize(to: element) }
    }

    func free() {
        unsafe self.base.deallocate()
    }

    var address: UnsafeMutablePointer<Element> { unsafe self.base }

    subscript(index: Int) -> Element {
        @inline(__always) get {
            assert(index >= 0 && index < self.count)
            return unsafe self.base[index]
        }
        @inline(__always) nonmutating set {
            assert(index >= 0 && index < self.count)
            unsafe self.base[index] = newValue
        }
    }

    /// Sets a range of elements.
    @inline(__always)
    func fill(_ range: Range<Int>, with element: Element) {
        for index in range { self[index] = element }
    }
}

/// Bytes somewhere else, with at least 64 more readable behind them.
@safe
struct Bytes {
    let base: UnsafeRawPointer
    let count: Int

    @inline(__always)
    init(base: UnsafeRawPointer, count: Int) {
        unsafe self.base = unsafe base
        self.count = count
    }

    @inline(__always)
    subscript(index: Int) -> UInt8 {
        assert(index >= 0 && index <= self.count)
        return unsafe self.base.load(fromByteOffset: index, as: UInt8.self)
    }

    @inline(__always)
    func slice(_ start: Int, _ count: Int) -> Bytes {
        assert(start >= 0 && count >= 0 && start + count <= self.count)
        return unsafe Bytes(base: self.base + start, count: count)
    }

    @inline(__always)
    var buffer: UnsafeRawBufferPointer { unsafe UnsafeRawBufferPointer(start: self.base, count: self.count) }

    /// The first eight bytes, the first one lowest, zeros behind the end.
    @inline(__always)
    var head: UInt64 {
        let word = unsafe UInt64(littleEndian: self.base.loadUnaligned(as: UInt64.self))
        return self.count >= 8 ? word : word & ((1 << UInt64(self.count * 8)) - 1)
    }

    @inline(__always)
    func equals(_ other: Bytes) -> Bool {
        unsafe self.count == other.count && memcmp(self.base, other.base, self.count) == 0
    }

    @inline(__always)
    func hasPrefix(_ other: Bytes) -> Bool {
        self.count >= other.count && self.slice(0, other.count).equals(other)
    }

    @inline(__always)
    func hasSuffix(_ other: Bytes) -> Bool {
        self.count >= other.count && self.slice(self.count - other.count, other.count).equals(other)
    }

    func contains(_ byte: UInt8) -> Bool {
        unsafe memchr(self.base, Int32(byte), self.count) != nil
    }

    /// Where `other` first stands at or behind `start`; nil when nowhere.
    func firstIndex(of other: Bytes, from start: Int) -> Int? {
        guard other.count > 0 else { return start }
        var index = start
        let first = other[0]
        while index + other.count <= self.count {
            let room = self.count - index - other.count + 1
            guard let found = unsafe memchr(self.base + index, Int32(first), room) else { return nil }
            index = unsafe UnsafeRawPointer(found) - self.base
            if self.slice(index, other.count).equals(other) { return index }
            index += 1
        }
        return nil
    }
}

/// Memory that grows and is used again; whoever makes it frees it.
@safe
struct Scratch {
    @unsafe
    private struct Block {
        var base: UnsafeMutableRawPointer
        var capacity: Int
    }

    private let block: UnsafeMutablePointer<Block>

    init() {
        unsafe self.block = .allocate(capacity: 1)
        unsafe self.block.initialize(to: Self.make(1024))
    }

    /// Readable bytes behind the end, as ``Bytes`` wants them.
    static let tail = 64

    var base: UnsafeMutableRawPointer { unsafe self.block.pointee.base }

    @inline(__always)
    func reserve(_ count: Int) {
        let capacity = unsafe self.block.pointee.capacity
        if count > capacity || capacity > Self.kept && count <= Self.kept { self.resize(to: count) }
    }

    /// What is kept at most when no more is needed any longer.
    private static let kept = 1 << 20

    private func resize(to count: Int) {
        let capacity = max(count, min(unsafe self.block.pointee.capacity * 2, Self.kept))
        unsafe self.block.pointee.base.deallocate()
        unsafe self.block.pointee = Self.make(capacity)
    }

    private static func make(_ capacity: Int) -> Block {
        unsafe Block(base: .allocate(byteCount: capacity + Self.tail, alignment: 16), capacity: capacity)
    }

    func free() {
        unsafe self.block.pointee.base.deallocate()
        unsafe self.block.deallocate()
    }
}
