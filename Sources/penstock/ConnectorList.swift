// SPDX-License-Identifier: Apache-2.0

import DynamoDBConnector
import EventBridgeConnector
import FileConnector
import HTTPConnector
import HTTPFunction
import KafkaConnector
import LambdaConnector
import LambdaFunction
import LocalFunction
import PenstockRuntime
import PostgresConnector
import S3Connector
import SNSConnector
import SQSConnector
import ScheduleConnector

/// What the product can speak: the only place that names all connectors and all kinds of functions.
let registry = Registry(
    connectors: [
        KafkaConnector.self, SQSConnector.self, DynamoDBConnector.self, ScheduleConnector.self,
        PostgresConnector.self, SNSConnector.self, EventBridgeConnector.self, LambdaConnector.self,
        S3Connector.self, HTTPConnector.self, FileConnector.self,
    ],
    functionKinds: [LocalFunctionKind.self, HTTPFunctionKind.self, LambdaFunctionKind.self]
)
