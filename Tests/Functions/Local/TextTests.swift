// SPDX-License-Identifier: Apache-2.0

import PenstockCore
import PenstockRuntime
import Testing

@testable import LocalFunction

/// The pure readers of bytes.
@Suite struct TextTests {
    private func split(_ pieces: [String]) -> [String] {
        var splitter = LineSplitter()
        var lines: [String] = []
        for piece in pieces {
            unsafe Array(piece.utf8).withUnsafeBytes { unsafe lines += splitter.add($0) }
        }
        if let rest = splitter.flush() { lines.append(rest) }
        return lines
    }

    @Test("Lines are the same however the bytes arrive") func splits() {
        #expect(self.split(["a\nb\r\n\nc"]) == ["a", "b", "", "c"])
        #expect(self.split("a\nb\r\n\nc".map(String.init)) == ["a", "b", "", "c"])
        #expect(self.split([""]) == [])
    }

    @Test("A line that is too long is cut and marked, and the next one is whole") func cutsLines() {
        let lines = self.split([String(repeating: "x", count: LineSplitter.lineMax), "yyy", "\nshort\n"])
        #expect(lines == [String(repeating: "x", count: LineSplitter.lineMax) + "…", "short"])
    }

    @Test(
        "errorType and errorMessage are found wherever they stand",
        arguments: [
            (#"{"errorMessage":"m","errorType":"T"}"#, "T", "m"),
            (
                #" { "x" : [1,{"errorType":"no"}] , "errorType" : "T" , "n":null,"errorMessage":"a\nb" }"#,
                "T", "a\nb"
            ),
            (#"{"errorType":"T","errorMessage":"\ud83d\ude00\u00e9"}"#, "T", "😀é"),
        ]
    )
    func errorBody(text: String, type: String, message: String) {
        let body = FunctionErrorBody(Array(text.utf8))
        #expect(body.type == type)
        #expect(body.message == message)
    }

    @Test("No error body crashes: each prefix of one, and each with a byte replaced, is read")
    func anyErrorBody() {
        let bytes = Array(#"{"errorType":"T\u00e9","x":[{"a":"]"}],"errorMessage":"\ud83d\ude00"}"#.utf8)
        for length in 0...bytes.count {
            _ = FunctionErrorBody(Array(bytes[..<length]))
            for replacement: UInt8 in [0x22, 0x5C, 0x7B, 0x5D, 0x00, 0xFF] where length < bytes.count {
                var broken = bytes
                broken[length] = replacement
                let failure = FunctionErrorBody(broken).failure(header: nil, unknown: "Function.Unknown")
                #expect(!failure.type.isEmpty)
            }
        }
    }

    @Test("The error type in the header counts only when the body has none and it is one word")
    func headerType() {
        let none = FunctionErrorBody(Array("{}".utf8))
        #expect(none.failure(header: "Runtime.Broken", unknown: "U").type == "Runtime.Broken")
        #expect(none.failure(header: "not a type", unknown: "U").type == "U")
        let own = FunctionErrorBody(Array(#"{"errorType":"Own"}"#.utf8))
        #expect(own.failure(header: "Runtime.Broken", unknown: "U").type == "Own")
    }

    @Test("Memory is read from the status of a process") func memory() {
        let status = Array("Name:\tx\nVmPeak:\t 9 kB\nVmHWM:\t    2048 kB\nVmRSS:\t 1024 kB\n".utf8)
        let memory = unsafe status.withUnsafeBytes { unsafe ProcessMemory(status: $0) }
        #expect(memory.peak == 2 << 20)
        #expect(memory.resident == 1 << 20)
        let zombie = unsafe Array("Name:\tx\nState:\tZ\n".utf8).withUnsafeBytes {
            unsafe ProcessMemory(status: $0)
        }
        #expect(zombie == ProcessMemory())
    }

    @Test("Base64 of trailers is decoded, and rubbish refused") func base64() {
        #expect(Base64Text.decode("aGVsbG8=") == Array("hello".utf8))
        #expect(Base64Text.decode("") == [])
        #expect(Base64Text.decode("a b") == nil)
    }
}
