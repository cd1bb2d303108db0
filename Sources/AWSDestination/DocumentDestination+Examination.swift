// SPDX-License-Identifier: Apache-2.0

import AWSClient
package import PenstockRuntime

// MARK: - What penstock doctor asks

extension DocumentDestination {
    /// Looks whether what documents are sent to is there, and asks whether they may be sent; see ``DocumentProbes``.
    package func examine() async -> [Diagnosis] {
        let probes = self.service.probes
        guard let target = probes.target else { return [await self.ask("destination", probes)] }
        let found = await self.look(target)
        return found.grade == .error ? [found] : [found, await self.ask("permissions", probes)]
    }

    private func look(_ target: (call: AWSCall, permission: String)) async -> Diagnosis {
        do throws(AWSError) {
            _ = try await self.client.call(target.call)
            return .ok("destination", "\(self.service.summary) answers")
        } catch {
            let text = "\(self.service.summary): \(error)"
            if Self.isDenial(error) {
                return .unchecked(
                    "destination",
                    "\(text); to look whether it is there, allow \(target.permission), which is not needed to send"
                )
            }
            if case .throttled = error.kind { return .warning("destination", "\(text); try again later") }
            return .error("destination", text + self.wayOut(of: error))
        }
    }

    private func ask(_ check: String, _ probes: DocumentProbes) async -> Diagnosis {
        guard let call = probes.sending else {
            return .unchecked(
                check,
                "\(Service.permission) is not asked of \(self.service.summary): only a document would tell"
            )
        }
        let allowed = Diagnosis.ok(
            check,
            "\(self.service.summary) would take documents: \(Service.permission)"
        )
        do throws(AWSError) {
            _ = try await self.client.call(call)
            return allowed
        } catch {
            let text = "\(self.service.summary): \(error)"
            if Self.isDenial(error) { return .error(check, "\(text); allow \(Service.permission)") }
            switch error.kind {
            case .refused where probes.emptyCodes.contains(Self.bare(error.code)): return allowed
            case .throttled: return .warning(check, "\(text); try again later")
            case .noCredentials, .unreachable, .noAnswer: return .error(check, text + self.wayOut(of: error))
            case .refused:
                if let advice = self.service.advice(error.code) { return .error(check, "\(text); \(advice)") }
                return .unchecked(check, "\(Service.permission) cannot be asked of \(text)")
            }
        }
    }

    private static func isDenial(_ error: AWSError) -> Bool {
        AWSError.isDenial(error.code) || error.code == "HTTP.403"
    }

    /// The Query protocol may say `AWS.SimpleNotificationService.EmptyBatchRequest`, others `EmptyBatchRequestException`.
    private static func bare(_ code: String) -> String {
        let name = code.split(separator: ".").last.map(String.init) ?? code
        return name.hasSuffix("Exception") ? String(name.dropLast("Exception".count)) : name
    }

    private func wayOut(of error: AWSError) -> String {
        let code = error.code == "HTTP.404" ? Service.missingCode : error.code
        return self.advice(code).map { "; \($0)" } ?? ""
    }
}
