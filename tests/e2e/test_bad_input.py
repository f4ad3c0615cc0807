"""Bad requests on the native door, over real HTTP: a named error, and nothing dialled."""

import json
import socket
import unittest

import harness

GOOD = {"agent": "desk", "to": "+15550200", "from": "+15550100"}
LONG = "x" * 5000


def changed(**members):
    body = {**GOOD, **members}
    return {name: value for name, value in body.items() if value is not ...}


CASES = [
    (changed(agent=...), 400, "agent"),
    (changed(agent=7), 400, "agent"),
    (changed(agent=""), 400, "agent"),
    (changed(agent="a b"), 400, "agent"),
    (changed(agent="a\r\nb"), 400, "agent"),
    (changed(agent="nobody"), 404, None),
    (changed(to=...), 400, "to"),
    (changed(to=15550200), 400, "to"),
    (changed(to=""), 400, "to"),
    (changed(to="+1555\r\nVia: SIP/2.0/UDP evil"), 400, "to"),
    (changed(to="+1555%0d%0a"), 400, "to"),
    (changed(to="1@evil.example"), 400, "to"),
    (changed(to="12;tag=x"), 400, "to"),
    (changed(to="*21*5550100#"), 400, "to"),
    (changed(to="12\u2028"), 400, "to"),
    (changed(to="1" * 16), 400, "to"),
    (changed(**{"from": 7}), 400, "from"),
    (changed(**{"from": []}), 400, "from"),
    (changed(**{"from": "+15559999"}), 403, None),
    (changed(variables=[]), 400, "variables"),
    (changed(variables={"a": 1}), 400, "variables"),
    (changed(user_data=LONG), 400, "user_data"),
    (changed(user_data={}), 400, "user_data"),
    (changed(thread=""), 400, "thread"),
    (changed(thread="a\nb"), 400, "thread"),
    (changed(overrides={"voice": {"speed": 2}}), 400, "overrides"),
    (changed(overrides={"limits": {"max_duration_s": "long"}}), 400, "overrides"),
    (changed(overrides=[]), 400, "overrides"),
    (changed(scheduled_for="tomorrow"), 400, "scheduled_for"),
    (changed(deadline="2001-01-01T00:00:00Z"), 400, "deadline"),
    (changed(colour="red"), 400, "colour"),
]
RAW = [
    (b"", 400),
    (b"{", 400),
    (b"[]", 400),
    (b"null", 400),
    (b"\xff\xfe", 400),
    (b"[" * 100 + b"]" * 100, 400),
    (b'{"agent": "' + b"x" * (1024 * 1024) + b'"}', 413),
]


class BadInput(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.context = harness.server()
        cls.server = cls.context.__enter__()
        cls.server.agent()
        cls.server.trunk("t1", harness.free_udp_port())
        cls.server.number("+15550100", "t1")

    @classmethod
    def tearDownClass(cls):
        cls.context.__exit__(None, None, None)

    def tearDown(self):
        self.assertEqual(self.server.must("GET", "/v1/calls")["calls"], [], "nothing was dialled")

    def test_each_field_is_named(self):
        for body, status, field in CASES:
            with self.subTest(body=str(body)[:100]):
                got, answer = self.server.api("POST", "/v1/calls", body)
                self.assertEqual(got, status, answer)
                named = (answer["error"].get("field") or "").split(".")[0] or None
                self.assertEqual(named, field, answer)
                self.assertTrue(answer["error"]["message"])
                self.assertNotIn(LONG, json.dumps(answer))

    def test_bodies_that_are_not_requests(self):
        for body, status in RAW:
            with self.subTest(body=body[:20]):
                got, answer = self.server.api("POST", "/v1/calls", body)
                self.assertEqual(got, status, answer)

    def test_keys(self):
        for key, status in [("nobody.x", 401), (f"{harness.KEY_ID}.wrong", 401), ("", 401), ("x", 401)]:
            got, _ = self.server.api("POST", "/v1/calls", GOOD, key=key)
            self.assertEqual(got, status, key)
        narrow = self.server.must("POST", "/v1/keys", {"name": "reader", "scopes": ["calls_read"]})
        got, answer = self.server.api("POST", "/v1/calls", GOOD, key=f"{narrow['id']}.{narrow['secret']}")
        self.assertEqual((got, answer["error"]["code"]), (403, "forbidden"))

    def test_unknown_paths_and_methods(self):
        self.assertEqual(self.server.api("GET", "/v2/calls")[0], 404)
        self.assertEqual(self.server.api("DELETE", "/v1/calls")[0], 405)
        self.assertEqual(self.server.api("GET", "/v1/calls/" + "0" * 32)[0], 404)
        self.assertEqual(self.server.api("GET", "/v1/calls/..%2f..%2fetc%2fpasswd")[0], 404)

    def test_hostile_connections_leave_the_server_up(self):
        host, port = self.server.addresses["http"].split(":")
        for rubbish in [b"\x16\x03\x01\x02\x00", b"GET / HTTP/9.9\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n", b"\0" * 5000]:
            with socket.create_connection((host, int(port)), timeout=5) as connection:
                connection.sendall(rubbish)
                connection.settimeout(3)
                try:
                    connection.recv(1000)
                except OSError:
                    pass
        self.assertEqual(self.server.raw("GET", "/healthz")[0], 200)


if __name__ == "__main__":
    unittest.main(verbosity=2)
