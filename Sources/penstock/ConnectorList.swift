// SPDX-License-Identifier: Apache-2.0

import HTTPFunction
import KafkaConnector
import LocalFunction
import PenstockRuntime

/// What the product can speak: the only place that names all connectors and all kinds of functions.
let registry = Registry(
    connectors: [KafkaConnector.self],
    functionKinds: [LocalFunctionKind.self, HTTPFunctionKind.self]
)
