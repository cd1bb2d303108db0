// SPDX-License-Identifier: Apache-2.0

import Foundation
import PenstockTesting

extension ScriptedStreams {
    /// A configuration of one trigger, `carts`, which reads this stream into `app.handler` of a folder; lines of the trigger may
    /// follow.
    func configuration(in folder: URL, admin: String = "127.0.0.1:0") -> String {
        """
        state: "sqlite:\(folder.path)/penstock.db"
        admin: { listen: "\(admin)" }
        functions:
          app:
            local:
              command: ["\(TestEnvironment.python.path)", -m, awslambdaric, app.handler]
              directory: "\(folder.path)"
        triggers:
          carts:
            source:
              dynamodb:
                table: \(self.table)
                endpoint: "\(self.endpoint)"
                region: eu-west-1
                credentials: { access_key_id: test, secret_access_key: test }
            function: app
            batch: { size: 10, window: 20ms }

        """
    }
}
