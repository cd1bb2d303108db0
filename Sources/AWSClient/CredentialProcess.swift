// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockCore

/// `credential_process` of a profile: a program that prints credentials.
enum CredentialProcess {
    private static let seconds = 60.0

    /// Runs the program in a shell, as AWS's tools do, on a thread of its own; ended after a minute.
    static func credentials(_ command: String) async throws(AWSError) -> AWSCredentials {
        let (status, output) = await withCheckedContinuation { continuation in
            let thread = Thread { continuation.resume(returning: Self.run(command)) }
            thread.name = "credentials"
            thread.start()
        }
        guard status == 0 else {
            throw AWSError(
                .noCredentials,
                code: "Client.Credentials",
                message: "credential_process ended with status \(status); run it by hand to see why"
            )
        }
        return try CredentialDocument.credentials(in: output, of: "credential_process")
    }

    private static func run(_ command: String) -> (status: Int32, output: [UInt8]) {
        let process = Process()
        let pipe = Pipe()
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.arguments = ["-c", command]
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = pipe
        process.standardError = FileHandle.nullDevice
        guard (try? process.run()) != nil else { return (127, []) }
        let timer = DispatchSource.makeTimerSource()
        timer.schedule(deadline: .now() + Self.seconds)
        timer.setEventHandler { process.terminate() }
        timer.resume()
        let output = (try? pipe.fileHandleForReading.readToEnd()) ?? Data()
        process.waitUntilExit()
        timer.cancel()
        return (process.terminationStatus, [UInt8](output))
    }
}
