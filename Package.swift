// swift-tools-version: 6.3
// SPDX-License-Identifier: Apache-2.0

import PackageDescription

// The graph, from the bottom up. docs/ARCHITECTURE.md draws it; TidyTests hold it.

/// C libraries: a module map and a header of inline functions, nothing else.
let systemLibraries: [Target] = [
    .systemLibrary(name: "CBase64"),
    .systemLibrary(name: "CJSON"),
    .systemLibrary(name: "CReactor"),
    .systemLibrary(name: "CHTTPParser", providers: [.apt(["libhttp-parser-dev"])]),
    .systemLibrary(name: "CLibcurl", pkgConfig: "libcurl", providers: [.apt(["libcurl4-openssl-dev"])]),
    .systemLibrary(name: "CLibpq", pkgConfig: "libpq", providers: [.apt(["libpq-dev"])]),
    .systemLibrary(name: "CLibrdkafka", pkgConfig: "rdkafka", providers: [.apt(["librdkafka-dev"])]),
]

/// C++ behind a header in C, where a library has no interface in C.
let shims: [Target] = [
    .target(name: "CSimdjson", linkerSettings: [.linkedLibrary("simdjson")])
]

/// What programs are linked with besides their modules.
let allocator: Target = .target(name: "Allocator", linkerSettings: [.linkedLibrary("jemalloc")])

let deque: Target.Dependency = .product(name: "DequeModule", package: "swift-collections")
let heap: Target.Dependency = .product(name: "HeapModule", package: "swift-collections")
let crypto: Target.Dependency = .product(name: "Crypto", package: "swift-crypto")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let lifecycle: Target.Dependency = .product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let unixSignals: Target.Dependency = .product(name: "UnixSignals", package: "swift-service-lifecycle")
let argumentParser: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")

/// The web page of the admin API, which the program holds as bytes.
let pageFiles = ["index.html", "page.css", "page.mjs", "views.mjs", "text.mjs", "dom.mjs", "api.mjs"]

/// What the product stands on: values, clients, the engine.
let modules: [Target] = [
    .target(name: "PenstockCore", dependencies: ["CBase64", "CJSON", deque, heap]),
    .target(name: "Reactor", dependencies: ["CReactor", "PenstockCore", deque, heap]),
    .target(name: "CurlClient", dependencies: ["CLibcurl", "PenstockCore", "Reactor"]),
    .target(name: "PostgresClient", dependencies: ["CLibpq", "PenstockCore", "Reactor", deque]),
    .target(name: "AWSClient", dependencies: ["CurlClient", "PenstockCore", "Reactor", crypto]),
    .target(
        name: "PenstockConfiguration",
        dependencies: ["PenstockCore", .product(name: "Yams", package: "Yams")]
    ),
    .target(
        name: "AWSConfiguration",
        dependencies: ["AWSClient", "CurlClient", "PenstockConfiguration", "PenstockCore"]
    ),
    .target(name: "PenstockFilters", dependencies: ["CSimdjson", "PenstockCore", "PenstockConfiguration"]),
    .target(name: "PenstockSchedules", dependencies: ["PenstockCore", "PenstockConfiguration"]),
    .target(
        name: "PenstockStore",
        dependencies: [
            "PenstockCore", "PostgresClient", "Reactor", deque, .product(name: "GRDB", package: "GRDB.swift"),
            .product(name: "GRDBSQLite", package: "GRDB.swift"),
        ]
    ),
    .target(
        name: "PenstockRuntime",
        dependencies: [
            "PenstockCore", "PenstockConfiguration", "PenstockFilters", "PenstockStore", "Reactor", deque,
            heap, logging, lifecycle,
        ]
    ),
    .target(
        name: "PenstockAdmin",
        dependencies: [
            "PenstockCore", "PenstockConfiguration", "PenstockStore", "PenstockRuntime", logging, lifecycle,
            .product(name: "Hummingbird", package: "hummingbird"),
        ],
        resources: pageFiles.map { .embedInCode("Page/\($0)") }
    ),
    .target(
        name: "PenstockBehavior",
        dependencies: [
            "PenstockCore", "PenstockConfiguration", "PenstockFilters", "PenstockStore", "PenstockRuntime",
            "Reactor", logging,
        ]
    ),
    .target(
        name: "AWSDestination",
        dependencies: [
            "AWSClient", "AWSConfiguration", "CurlClient", "PenstockConfiguration", "PenstockCore",
            "PenstockRuntime", "Reactor", crypto,
        ]
    ),
    .target(
        name: "HTTPEndpoints",
        dependencies: [
            "CurlClient", "PenstockConfiguration", "PenstockCore", "PenstockRuntime", "Reactor",
        ]
    ),
    .target(
        name: "PenstockTesting",
        dependencies: [
            "AWSDestination", "PenstockCore", "PenstockConfiguration", "PenstockStore", "PenstockRuntime",
            "Reactor", deque, logging,
        ]
    ),
]

/// What destinations of AWS are made from.
let awsDestination: [Target.Dependency] = ["AWSClient", "AWSConfiguration", "AWSDestination", "CurlClient"]

/// One entry for each external system; a folder under Sources/Connectors with its tests beside.
let connectors: [(name: String, clients: [Target.Dependency])] = [
    (name: "DynamoDB", clients: ["AWSClient", "AWSConfiguration", "CurlClient", "PenstockStore"]),
    (name: "EventBridge", clients: awsDestination),
    (name: "File", clients: []),
    (name: "HTTP", clients: ["CurlClient", "HTTPEndpoints"]),
    (name: "Kafka", clients: ["CLibrdkafka", "CReactor"]),
    (name: "Lambda", clients: awsDestination),
    (name: "Postgres", clients: ["PenstockStore", "PostgresClient"]),
    (name: "S3", clients: awsDestination),
    (name: "SNS", clients: awsDestination),
    (name: "SQS", clients: awsDestination),
    (name: "Schedule", clients: ["PenstockSchedules", "PenstockStore"]),
]

/// One entry for each kind of function; a folder under Sources/Functions with its tests beside.
let functions: [(name: String, clients: [Target.Dependency])] = [
    (name: "HTTP", clients: ["CurlClient", "HTTPEndpoints"]),
    (name: "Lambda", clients: ["AWSClient", "AWSConfiguration", "CurlClient"]),
    (name: "Local", clients: ["CHTTPParser", "CReactor"]),
]

let engine: [Target.Dependency] = [
    "PenstockCore", "PenstockConfiguration", "PenstockRuntime", "Reactor", deque, logging,
]

let connectorTargets: [Target] = connectors.flatMap { connector in
    [
        .target(
            name: "\(connector.name)Connector",
            dependencies: engine + connector.clients,
            path: "Sources/Connectors/\(connector.name)"
        ),
        .testTarget(
            name: "\(connector.name)ConnectorTests",
            dependencies: [.init(stringLiteral: "\(connector.name)Connector"), "PenstockTesting"] + engine
                + connector.clients,
            path: "Tests/Connectors/\(connector.name)"
        ),
    ]
}

let functionTargets: [Target] = functions.flatMap { function in
    [
        .target(
            name: "\(function.name)Function",
            dependencies: engine + function.clients,
            path: "Sources/Functions/\(function.name)"
        ),
        .testTarget(
            name: "\(function.name)FunctionTests",
            dependencies: [.init(stringLiteral: "\(function.name)Function"), "PenstockTesting"] + engine,
            path: "Tests/Functions/\(function.name)"
        ),
    ]
}

let parts: [Target.Dependency] =
    connectors.map { .init(stringLiteral: "\($0.name)Connector") }
    + functions.map { .init(stringLiteral: "\($0.name)Function") }

let products: [Target] = [
    .executableTarget(
        name: "penstock",
        dependencies: engine + parts + [
            "PenstockFilters", "PenstockSchedules", "PenstockStore", "PenstockAdmin", "PenstockBehavior",
            "AWSClient", "CurlClient", "PostgresClient", "Allocator",
            lifecycle, unixSignals, argumentParser,
        ]
    ),
    .executableTarget(
        name: "penstock-bench",
        dependencies: engine + parts + [
            "PenstockFilters", "PenstockSchedules", "PenstockStore", "CurlClient", "PostgresClient",
            "Allocator",
            argumentParser,
        ],
        path: "Benchmarks/Bench"
    ),
]

let tests: [Target] = [
    .testTarget(
        name: "PenstockCoreTests",
        dependencies: ["CJSON", "PenstockCore", "PenstockTesting", "Reactor", deque]
    ),
    .testTarget(name: "ReactorTests", dependencies: ["Reactor", "PenstockTesting"]),
    .testTarget(name: "CurlClientTests", dependencies: ["CurlClient", "Reactor", "PenstockTesting"]),
    .testTarget(
        name: "PostgresClientTests",
        dependencies: ["PostgresClient", "PenstockCore", "Reactor", "PenstockTesting"]
    ),
    .testTarget(
        name: "AWSClientTests",
        dependencies: ["AWSClient", "CurlClient", "Reactor", "PenstockTesting"]
    ),
    .testTarget(name: "PenstockConfigurationTests", dependencies: ["PenstockConfiguration", "PenstockCore"]),
    .testTarget(
        name: "PenstockFiltersTests",
        dependencies: ["PenstockFilters", "PenstockConfiguration", "PenstockCore"]
    ),
    .testTarget(
        name: "PenstockSchedulesTests",
        dependencies: ["PenstockSchedules", "PenstockCore", "PenstockTesting"]
    ),
    .testTarget(
        name: "PenstockStoreTests",
        dependencies: ["PenstockStore", "PostgresClient", "PenstockCore", "Reactor", "PenstockTesting"]
    ),
    .testTarget(
        name: "PenstockRuntimeTests",
        dependencies: [
            "PenstockRuntime", "PenstockStore", "PenstockCore", "PenstockConfiguration", "Reactor",
            "PenstockTesting", logging, lifecycle,
        ]
    ),
    .testTarget(
        name: "SimulationTests",
        dependencies: [
            "PenstockRuntime", "PenstockFilters", "PenstockStore", "PenstockCore", "Reactor",
            "PenstockTesting", logging,
        ]
    ),
    .testTarget(
        name: "PenstockAdminTests",
        dependencies: [
            "PenstockAdmin", "PenstockRuntime", "PenstockStore", "PenstockCore", "PenstockConfiguration",
            "Reactor", "PenstockTesting", logging,
        ]
    ),
    .testTarget(
        name: "PenstockBehaviorTests",
        dependencies: [
            "PenstockBehavior", "PenstockRuntime", "PenstockConfiguration", "PenstockCore", "Reactor",
            "KafkaConnector", "HTTPFunction", "LocalFunction", logging,
        ]
    ),
    .testTarget(name: "IntegrationTests", dependencies: ["penstock", "PenstockTesting", "PenstockCore"]),
    .testTarget(name: "TidyTests"),
]

let package = Package(
    name: "penstock",
    products: [.executable(name: "penstock", targets: ["penstock"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1", traits: []),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    ],
    targets: systemLibraries + shims + [allocator] + modules + connectorTargets + functionTargets + products
        + tests,
    cxxLanguageStandard: .cxx17
)

for target in package.targets where target.type != .system {
    target.swiftSettings = [
        .strictMemorySafety(),
        .treatAllWarnings(as: .error),
        .enableUpcomingFeature("ExistentialAny"),
        .enableUpcomingFeature("InternalImportsByDefault"),
        .enableUpcomingFeature("MemberImportVisibility"),
        .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    ]
}
