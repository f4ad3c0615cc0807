"""Sixty-four clients at once against a number that carries fifteen calls: never sixteen, every refusal in words, every
place given back."""

import os
import unittest

import harness

ROUNDS = int(os.environ.get("CALLWRIGHT_LIMIT_ROUNDS", "100"))
CLIENTS = 64
CAP = 15


class CallerNumberLimit(unittest.TestCase):
    def test_never_one_more(self):
        with harness.server() as server, harness.Sipp("ring-forever.xml", calls=CAP * (ROUNDS + 2)) as trunk:
            server.agent(limits={"max_duration_s": 30, "ring_timeout_s": 60})
            server.trunk("t1", trunk.port)
            server.number("+15550100", "t1", CAP)
            for round_number in range(ROUNDS):
                answers = harness.in_parallel(
                    [lambda at=at: server.api("POST", "/v1/calls", {"agent": "desk", "to": f"+1555020{at:04}", "from": "+15550100"})
                     for at in range(CLIENTS)])
                accepted = [body["id"] for status, body in answers if status == 202]
                refused = [body["error"]["code"] for status, body in answers if status != 202]
                self.assertEqual(len(accepted), CAP, f"round {round_number}")
                self.assertEqual(set(refused), {"caller_busy"})
                # SIPp takes a CANCEL only once it has said that it rings.
                for call in accepted:
                    harness.wait_for("ringing", lambda: server.must("GET", f"/v1/calls/{call}")["status"] == "ringing")
                for call in accepted:
                    server.must("POST", f"/v1/calls/{call}/hangup")
                for call in accepted:
                    self.assertEqual(server.ended(call)["cause"], "cancelled")


if __name__ == "__main__":
    unittest.main(verbosity=2)
