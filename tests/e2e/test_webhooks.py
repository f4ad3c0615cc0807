"""Webhooks against the running server: a real HTTP receiver, a foreign verifier, a killed server."""

import base64
import hashlib
import hmac
import http.server
import json
import tempfile
import threading
import unittest

import harness
from harness import wait_for

# Not dialled before anybody hangs up, so that what is told does not depend on how far the dialling got.
LATER = {"to": "+4915112345678", "scheduled_for": "2099-01-01T00:00:00Z"}
LOOSE = '[webhooks]\nplain_http = "on"\nallow_private = "on"\n'
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


class Receiver:
    """An HTTP server that keeps what it is told and answers as `answer(count)` says, with these words."""

    def __init__(self, answer=lambda count: 200, words=b""):
        self.got, self.answer = [], answer
        receiver = self

        class Page(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((dict(self.headers), body))
                status = receiver.answer(len(receiver.got))
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", receiver.url)
                self.send_header("Content-Length", str(len(words)))
                self.end_headers()
                self.wfile.write(words)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook?token=abc"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def types(self):
        return [json.loads(body)["type"] for _, body in self.got]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def verified(headers, body, secret):
    """Checks the signature as the standard says; with the published package too, where it is installed."""
    headers = {name.lower(): value for name, value in headers.items()}
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    mac = hmac.new(base64.b64decode(secret.removeprefix("whsec_")), signed, hashlib.sha256).digest()
    assert "v1," + base64.b64encode(mac).decode() in headers["webhook-signature"].split(" ")
    try:
        from standardwebhooks.webhooks import Webhook
    except ImportError:
        return json.loads(body)
    return Webhook(secret).verify(body, headers)


def ready(server):
    """Everything that a call needs; the trunk leads to a port where nobody answers."""
    server.trunk("t", harness.free_udp_port())
    server.number("+4930123456", "t")
    server.agent(limits={"max_duration_s": 3, "ring_timeout_s": 1})


class Webhooks(unittest.TestCase):
    def test_a_call_is_told_signed_and_in_order(self):
        receiver = Receiver()
        with harness.server(LOOSE) as server:
            ready(server)
            made = server.must("POST", "/v1/webhooks", {"url": receiver.url, "events": ["*"], "secret": SECRET})
            self.assertEqual(made["secret"], SECRET)
            shown = server.must("GET", f"/v1/webhooks/{made['id']}")
            self.assertNotIn("secret", shown)
            call = server.call(**LATER)
            server.must("POST", f"/v1/calls/{call}/hangup", {})
            wait_for("end", lambda: "call.ended" in receiver.types())
            told = [verified(headers, body, SECRET) for headers, body in receiver.got]
            seqs = [event["data"]["event"]["seq"] for event in told]
            self.assertEqual(seqs, sorted(seqs))
            self.assertEqual(told[0]["type"], "call.created")
            self.assertEqual(told[-1]["data"]["call"]["status"], "ended")
            self.assertIn("transcript", told[-1]["data"]["call"])
            page = wait_for(
                "deliveries",
                lambda: (page := server.must("GET", f"/v1/webhooks/{made['id']}/deliveries?status=delivered"))
                and len(page["deliveries"]) == len(told)
                and page,
            )
            ids = {headers["webhook-id"] if "webhook-id" in headers else headers["Webhook-Id"] for headers, _ in receiver.got}
            self.assertEqual(ids, {delivery["id"] for delivery in page["deliveries"]})
        receiver.close()

    def test_a_call_can_bring_its_own(self):
        receiver = Receiver()
        with harness.server(LOOSE) as server:
            ready(server)
            made = server.must(
                "POST",
                "/v1/calls",
                {"agent": "desk", **LATER, "webhook": {"url": receiver.url, "events": ["call.ended"]}},
            )
            server.must("POST", f"/v1/calls/{made['id']}/hangup", {})
            wait_for("end", lambda: receiver.got)
            verified(*receiver.got[0], made["webhook"]["secret"])
            status, fault = server.api(
                "POST", "/v1/calls", {"agent": "desk", "to": "+4915112345678", "webhook": {"url": "http://169.254.169.254/"}}
            )
            self.assertEqual((status, fault["error"]["field"]), (400, "webhook.url"))
        receiver.close()

    def test_told_again_after_a_kill(self):
        receiver = Receiver(lambda count: 500 if count == 1 else 200)
        folder = tempfile.mkdtemp(prefix="callwright-e2e-")
        server = harness.Server(folder, LOOSE).start()
        try:
            ready(server)
            server.must("POST", "/v1/webhooks", {"url": receiver.url, "events": ["call.created"]})
            server.call(to="+4915112345678")
            wait_for("first try", lambda: receiver.got)
            server.kill()
            server.start()
            wait_for("second try", lambda: len(receiver.got) >= 2, 30)
            first, second = ({k.lower(): v for k, v in headers.items()} for headers, _ in receiver.got[:2])
            self.assertEqual(first["webhook-id"], second["webhook-id"])
            self.assertEqual(receiver.got[0][1], receiver.got[1][1], "a repeat says the same")
        finally:
            server.stop()
            receiver.close()

    def test_rotation_test_and_redirects(self):
        receiver = Receiver()
        with harness.server(LOOSE) as server:
            made = server.must("POST", "/v1/webhooks", {"url": receiver.url})
            fresh = server.must("POST", f"/v1/webhooks/{made['id']}/rotate", {})["secret"]
            self.assertNotEqual(fresh, made["secret"])
            said = server.must("POST", f"/v1/webhooks/{made['id']}/test", {})
            self.assertEqual((said["delivered"], said["status"]), (True, 200))
            for secret in (fresh, made["secret"]):
                self.assertEqual(verified(*receiver.got[0], secret)["type"], "webhook.test")
            receiver.answer = lambda count: 302
            said = server.must("POST", f"/v1/webhooks/{made['id']}/test", {})
            self.assertEqual((said["delivered"], said["status"], len(receiver.got)), (False, 302, 2))
        receiver.close()

    def test_urls_are_refused_by_name(self):
        with harness.server() as server:
            for url in [
                "http://hooks.example.com/",
                "https://127.0.0.1/",
                "https://localhost/",
                "https://10.0.0.5/",
                "https://[::1]/",
                "https://169.254.169.254/latest",
                "https://user:pass@hooks.example.com/",
                "https://0x7f000001/",
                "ftp://hooks.example.com/",
                "nonsense",
            ]:
                status, fault = server.api("POST", "/v1/webhooks", {"url": url})
                self.assertEqual((status, fault["error"]["field"]), (400, "url"), url)
            for body, field in [
                ({"url": "https://hooks.example.com/", "events": ["call.finished"]}, "events"),
                ({"url": "https://hooks.example.com/", "events": []}, "events"),
                ({"url": "https://hooks.example.com/", "headers": {"Host": "x"}}, "headers"),
                ({"url": "https://hooks.example.com/", "secret": "short"}, "secret"),
                ({"url": "https://hooks.example.com/", "max_tries": 9}, "max_tries"),
                ({"url": "https://hooks.example.com/", "agent": "nobody"}, "agent"),
                ({"url": "https://hooks.example.com/", "colour": "red"}, "colour"),
                ({}, "url"),
            ]:
                status, fault = server.api("POST", "/v1/webhooks", body)
                self.assertEqual((status, fault["error"]["field"]), (400, field), body)
            self.assertEqual(server.must("GET", "/v1/webhooks"), {"webhooks": []})


if __name__ == "__main__":
    unittest.main()
