// SPDX-License-Identifier: Apache-2.0

import PenstockConfiguration
import PenstockCore
import Testing

@Suite struct ReadingTests {
    static let whole = """
        functions:
          resize:
            local:
              command: [python3, -m, awslambdaric]
              environment: { BUCKET: thumbnails, LEVEL: 5 }
              timeout: 1m30s
              memory: 256MiB
          notify:
            http: { url: "https://example.com/hook", format: cloudevents, token: "${TOKEN}" }
        triggers:
          orders:
            source:
              kafka:
                brokers: localhost:9092
                group: penstock
                password: ${file:/run/secrets/kafka}
                properties: { session.timeout.ms: 6000 }
            function: resize
            filters:
              - { value: { status: [paid, 1, true, null, 1.5] } }
            batch: { size: 10 }
            from: 2026-11-23T08:00:00+01:00
          plain:
            source: { kafka: { brokers: [a:1, b:2], group: "${GROUP:-other}" } }
            function: notify
            factor: 1.5
            on_failure: { topic: failed }
        """

    static let loader = ConfigurationLoader.fixture(
        ["TOKEN": "t0ps3cret"],
        files: ["/run/secrets/kafka": "s3same\n"]
    )

    @Test("A whole configuration becomes typed values") func readsAll() throws {
        let result = Self.loader.parse(Self.whole).read(ExampleConfiguration.self)
        #expect(result.findings.map(\.description) == [])
        let value = try #require(result.value)
        #expect(value.state == "sqlite:data/penstock.db")
        #expect(value.functions.map(\.name) == ["resize", "notify"])
        guard case .local(let resize) = value.functions[0].value,
            case .http(let notify) = value.functions[1].value
        else {
            Issue.record("the functions are of other kinds")
            return
        }
        #expect(resize.command == ["python3", "-m", "awslambdaric"])
        #expect(resize.environment == ["BUCKET": "thumbnails", "LEVEL": "5"])
        #expect(resize.timeout == .seconds(90))
        #expect(resize.memory == 256 << 20)
        #expect(resize.concurrency == 4)
        #expect(notify.url.host == "example.com")
        #expect(notify.format == .cloudevents)
        #expect(notify.token?.reveal() == "t0ps3cret")
        #expect(notify.verify)
        let orders = value.triggers[0].value
        #expect(orders.source.brokers == ["localhost:9092"])
        #expect(orders.source.password?.reveal() == "s3same")
        #expect(orders.source.properties == ["session.timeout.ms": "6000"])
        #expect(orders.filters.map(\.json.text) == [#"{"value":{"status":["paid",1,true,null,1.5]}}"#])
        #expect(orders.batch.size == 10 && orders.batch.window == .milliseconds(500))
        #expect(orders.from == Timestamp(milliseconds: 1_795_417_200_000))
        #expect(orders.onFailure == .deadLetters)
        let plain = value.triggers[1].value
        #expect(plain.source.brokers == ["a:1", "b:2"])
        #expect(plain.source.group == "other")
        #expect(plain.batch.size == 100)
        #expect(plain.factor == 1.5)
        #expect(plain.onFailure == .topic("failed"))
    }

    @Test("Anchors and merge keys work, and own keys win") func mergesAnchors() throws {
        let text = """
            x-local: &defaults
              command: run
              timeout: 5s
              memory: 1MiB
            functions:
              one: { local: { <<: *defaults, timeout: 7s } }
              two: { local: { <<: [{ memory: 2MiB }, *defaults] } }
              three: { local: *defaults }
            """
        let result = ConfigurationLoader.fixture().parse(text).read(ExampleConfiguration.self)
        #expect(result.findings.map(\.description) == [])
        let locals = try #require(result.value).functions.compactMap { named -> LocalFunction? in
            guard case .local(let local) = named.value else { return nil }
            return local
        }
        #expect(locals.map(\.timeout) == [.seconds(7), .seconds(5), .seconds(5)])
        #expect(locals.map(\.memory) == [1 << 20, 2 << 20, 1 << 20])
    }
}
