// SPDX-License-Identifier: Apache-2.0

/// The program of ``TestKafkaFront``: TLS and SASL in front of a broker that has neither.
enum KafkaFrontScript {
    /// Arguments: a JSON object with `port`, `broker`, and optionally `certificate`, `key`, `client_ca`, `users`.
    static let text = #"""
        import asyncio, base64, hashlib, hmac, json, os, ssl, struct, sys

        options = json.loads(sys.argv[1])
        users = options.get("users")
        API_VERSIONS, HANDSHAKE, AUTHENTICATE = 18, 17, 36
        UNSUPPORTED_VERSION, UNSUPPORTED_MECHANISM, FAILED = 35, 33, 58
        MECHANISMS = {"PLAIN": None, "SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}

        class Refused(Exception):
            pass

        async def read_frame(reader):
            size, = struct.unpack(">i", await reader.readexactly(4))
            return await reader.readexactly(size)

        def frame(body):
            return struct.pack(">i", len(body)) + body

        def string(text):
            return struct.pack(">h", len(text)) + text.encode()

        def data(blob):
            return struct.pack(">i", len(blob)) + blob

        async def broker_versions():
            """What the broker speaks, as version 0 of ApiVersions has it."""
            reader, writer = await asyncio.open_connection("127.0.0.1", options["broker"])
            writer.write(frame(struct.pack(">hhi", API_VERSIONS, 0, 1) + string("front")))
            answer = await read_frame(reader)
            writer.close()
            count, = struct.unpack(">i", answer[6:10])
            return [struct.unpack(">hhh", answer[at:at + 6]) for at in range(10, 10 + 6 * count, 6)]

        class Login:
            """One SASL exchange, as RFC 4616 and RFC 5802 have it."""

            def __init__(self, mechanism):
                self.digest = MECHANISMS[mechanism]
                self.server_first = None

            def step(self, message):
                if self.digest is None:
                    _, name, password = message.split(b"\0")
                    if users.get(name.decode()) != password.decode():
                        raise Refused("Authentication failed: Invalid username or password")
                    return b"", True
                text = message.decode()
                if self.server_first is None:
                    self.client_first = text.split(",", 2)[2]
                    fields = dict(part.split("=", 1) for part in self.client_first.split(","))
                    self.password = users.get(fields["n"])
                    self.salt = os.urandom(16)
                    self.nonce = fields["r"] + base64.b64encode(os.urandom(12)).decode()
                    self.server_first = "r=%s,s=%s,i=4096" % (self.nonce, base64.b64encode(self.salt).decode())
                    return self.server_first.encode(), False
                without_proof, proof = text.rsplit(",p=", 1)
                if self.password is None or ",r=" + self.nonce not in without_proof:
                    raise Refused("Authentication failed during authentication due to invalid credentials")
                mac = lambda key, text: hmac.new(key, text, self.digest).digest()
                salted = hashlib.pbkdf2_hmac(self.digest, self.password.encode(), self.salt, 4096)
                client_key = mac(salted, b"Client Key")
                stored = hashlib.new(self.digest, client_key).digest()
                signed = ",".join([self.client_first, self.server_first, without_proof]).encode()
                expected = bytes(a ^ b for a, b in zip(client_key, mac(stored, signed)))
                if not hmac.compare_digest(expected, base64.b64decode(proof)):
                    raise Refused("Authentication failed during authentication due to invalid credentials")
                signature = mac(mac(salted, b"Server Key"), signed)
                return b"v=" + base64.b64encode(signature), True

        async def log_in(reader, writer):
            """Answers requests until the client is logged in; false when it is not."""
            login = None
            while True:
                request = await read_frame(reader)
                key, version, correlation, client = struct.unpack(">hhih", request[:10])
                body = request[10 + max(0, client):]
                head = struct.pack(">i", correlation)
                if key == API_VERSIONS:
                    listed = [v for v in await broker_versions() if v[0] not in (HANDSHAKE, AUTHENTICATE)]
                    listed += [(HANDSHAKE, 0, 1), (AUTHENTICATE, 0, 0)]
                    error = UNSUPPORTED_VERSION if version else 0
                    array = b"".join(struct.pack(">hhh", *entry) for entry in listed)
                    writer.write(frame(head + struct.pack(">hi", error, len(listed)) + array))
                elif key == HANDSHAKE:
                    mechanism = body[2:].decode()
                    error = 0 if mechanism in options["mechanisms"] else UNSUPPORTED_MECHANISM
                    names = b"".join(string(name) for name in options["mechanisms"])
                    writer.write(frame(head + struct.pack(">hi", error, len(options["mechanisms"])) + names))
                    if error == 0:
                        login = Login(mechanism)
                elif key == AUTHENTICATE and login:
                    try:
                        answer, done = login.step(body[4:])
                        writer.write(frame(head + struct.pack(">h", 0) + struct.pack(">h", -1) + data(answer)))
                        if done:
                            return True
                    except Refused as refusal:
                        writer.write(frame(head + struct.pack(">h", FAILED) + string(str(refusal)) + data(b"")))
                        await writer.drain()
                        return False
                else:
                    return False

        async def pump(reader, writer):
            try:
                while block := await reader.read(65536):
                    writer.write(block)
                    await writer.drain()
            except (ConnectionError, ssl.SSLError):
                pass
            finally:
                writer.close()

        async def serve(reader, writer):
            try:
                if users is None or await log_in(reader, writer):
                    broker = await asyncio.open_connection("127.0.0.1", options["broker"])
                    await asyncio.gather(pump(reader, broker[1]), pump(broker[0], writer))
            except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
                pass
            finally:
                writer.close()

        async def main():
            context = None
            if "certificate" in options:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(options["certificate"], options["key"])
                if "client_ca" in options:
                    context.load_verify_locations(options["client_ca"])
                    context.verify_mode = ssl.CERT_REQUIRED
            server = await asyncio.start_server(serve, "127.0.0.1", options["port"], ssl=context)
            async with server:
                await server.serve_forever()

        asyncio.run(main())
        """#
}
