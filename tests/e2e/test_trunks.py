"""What trunks promise, seen from the trunk's side: registration with a digest, questions whether it is alive, a way round
a trunk that fails, and a pace that is kept."""

import datetime
import re
import socket
import unittest

import harness

WINDOW_S = 1.0


def first_invites(messages):
    """When the first INVITE of each call reached the trunk, in seconds, by SIPp's own stamps."""
    arrived = {}
    blocks = re.split(r"^-{20,} (\d{4}-\d\d-\d\d[\sT]\d\d:\d\d:\d\d\.\d+).*$", messages, flags=re.MULTILINE)
    for stamp, text in zip(blocks[1::2], blocks[2::2]):
        if "message received" in text and re.search(r"^INVITE ", text, re.MULTILINE):
            call = re.search(r"^Call-ID: *(\S+)", text, re.MULTILINE | re.IGNORECASE).group(1)
            at = datetime.datetime.fromisoformat(re.sub(r"\s+", "T", stamp)).timestamp()
            arrived.setdefault(call, at)
    return sorted(arrived.values())


class Trunks(unittest.TestCase):
    def status(self, server, trunk):
        return server.must("GET", f"/v1/trunks/{trunk}")["status"]

    def test_registration_with_a_digest(self):
        account = {"username": "alice", "domain": "carrier.example", "register": "on"}
        with harness.server() as server:
            with harness.Sipp("registrar-digest.xml") as registrar:
                server.trunk("reg", registrar.port, password="secret", **account)
                registered = lambda: self.status(server, "reg")["registration"]["state"] == "registered"
                harness.wait_for("registration", registered)
                harness.wait_for("the gauge", lambda: server.metric("callwright_trunk_registered") == 1)
                server.must("DELETE", "/v1/trunks/reg")
                self.assertEqual(registrar.finished(20), 0, registrar.errors())
            with harness.Sipp("registrar-digest.xml") as registrar:
                server.trunk("bad", registrar.port, password="wrong", **account)
                failed = lambda: self.status(server, "bad")["registration"]
                harness.wait_for("refusal", lambda: failed()["state"] == "failed")
                self.assertEqual(failed()["cause"], "forbidden")
                self.assertIn("retry_at", failed())

    def test_registration_is_taken_back_at_shutdown(self):
        with harness.server() as server, harness.Sipp("registrar-digest.xml") as registrar:
            server.trunk("reg", registrar.port, username="alice", password="secret", domain="carrier.example",
                         register="on")
            registered = lambda: self.status(server, "reg")["registration"]["state"] == "registered"
            harness.wait_for("registration", registered)
            server.terminate()
            self.assertEqual(registrar.finished(20), 0, registrar.errors())

    def test_only_a_trunk_that_answers_is_up(self):
        with harness.server() as server, harness.Sipp("options-answer.xml", calls=1000) as alive:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
                silent.bind(("127.0.0.1", 0))
                server.trunk("alive", alive.port, options_interval_s=1)
                server.trunk("silent", silent.getsockname()[1], options_interval_s=1)
                harness.wait_for("answer", lambda: self.status(server, "alive")["health"] == "up")
                harness.wait_for("silence", lambda: self.status(server, "silent")["health"] == "down")
                harness.wait_for("the gauge", lambda: server.metric("callwright_trunk_up") == 1)

    def test_a_trunk_that_fails_is_gone_round(self):
        with harness.server() as server, harness.Sipp("503-retry-after.xml") as first:
            with harness.Sipp("ok-answer-wait-bye.xml") as second:
                server.agent()
                server.trunk("first", first.port)
                server.trunk("second", second.port)
                shown = server.must("PUT", "/v1/numbers/+15550100", {"trunks": ["first", "second"]})
                self.assertEqual((shown["trunk"], shown["trunks"]), ("first", ["first", "second"]))
                view = server.ended(server.call(to="+15550123"))
                self.assertEqual(view["cause"], "max_duration")
                events = [event for event in view["timeline"] if event["event"] in ("dialing", "attempt_failed")]
                self.assertEqual([event["event"] for event in events], ["dialing", "attempt_failed", "dialing"])
                self.assertEqual((events[1]["cause"], events[1]["status"]), ("trunk_failed", 503))
                self.assertEqual([events[0]["intent"]["trunk"], events[2]["intent"]["trunk"]], ["first", "second"])
                self.assertNotEqual(events[0]["intent"]["call_id"], events[2]["intent"]["call_id"])
                self.assertIsNotNone(self.status(server, "first")["rests_until"])
                self.assertEqual((first.finished(10), second.finished(10)), (0, 0))

    def test_thirty_calls_at_ten_a_second(self):
        with harness.server() as server, harness.Sipp("final-486.xml", calls=30) as trunk:
            server.agent()
            server.trunk("paced", trunk.port, cps=10)
            server.number("+15550100", "paced", max_calls=30)
            calls = harness.in_parallel([lambda n=n: server.call(to=f"+1555020{n:04}") for n in range(30)])
            self.assertEqual({server.ended(call)["cause"] for call in calls}, {"busy"})
            self.assertEqual(trunk.finished(20), 0, trunk.errors())
            arrived = first_invites(trunk.messages())
            self.assertEqual(len(arrived), 30)
            most = max(sum(begin <= at < begin + WINDOW_S for at in arrived) for begin in arrived)
            self.assertLessEqual(most, 10, arrived)
            self.assertLess(arrived[-1] - arrived[0], 3.6, "slower than it may be")

    def test_settings_that_cannot_be_carried_out_are_refused_by_name(self):
        with harness.server() as server:
            for settings, field in (
                ({"register": "on"}, "register"),
                ({"cps": 1001}, "cps"),
                ({"max_calls": 100001}, "max_calls"),
                ({"options_interval_s": 3601}, "options_interval_s"),
            ):
                status, answer = server.api("PUT", "/v1/trunks/t", {"host": "127.0.0.1", **settings})
                self.assertEqual((status // 100, answer["error"]["field"]), (4, field))
            server.trunk("one", 5060)
            for trunks in ([], ["one", "one"], ["one", "other"], "one"):
                status, answer = server.api("PUT", "/v1/numbers/+15550100", {"trunks": trunks})
                self.assertEqual((status // 100, answer["error"]["field"]), (4, "trunks"), trunks)
            shown = server.must("GET", "/v1/trunks/one")
            self.assertEqual(server.must("PUT", "/v1/trunks/one", shown), shown, "what a GET shows may be sent back")


if __name__ == "__main__":
    unittest.main(verbosity=2)
