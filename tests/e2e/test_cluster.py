"""Several servers on one PostgreSQL: a hang-up finds the owner, a dead owner's calls are ended by another, a server that slept
harms nothing, limits and keys are exact over all of them, and a database that goes away for a while loses nothing."""

import os
import signal
import subprocess
import time
import unittest

import harness

ROUNDS = int(os.environ.get("CALLWRIGHT_CLUSTER_ROUNDS", "5"))
UNLIMITED = "[http.rates]\nper_source = 0\nper_key = 0\n"
CAP = 15


def equip(node, trunk, max_calls=CAP):
    # Nothing is said: what is tried here is the servers, and not how fast a voice loads.
    node.agent(opening={"greeting": "none"}, limits={"max_duration_s": 120, "ring_timeout_s": 60})
    node.trunk("t1", trunk.port)
    node.number("+15550100", "t1", max_calls)


def talking(node, calls):
    """Places calls and waits until all are answered."""
    ids = [node.call(to=f"+1555020{at:04}", **{"from": "+15550100"}) for at in range(calls)]
    for call in ids:
        harness.wait_for("answer", lambda: node.must("GET", f"/v1/calls/{call}")["status"] == "talking", 60)
    return ids


def ringing(node, call):
    """Waits until the callee rings: SIPp drops a call that is cancelled between its 100 and its 180, and never says 487."""
    harness.wait_for("ringing", lambda: node.must("GET", f"/v1/calls/{call}")["status"] == "ringing")


class Cluster(unittest.TestCase):
    def test_a_hang_up_finds_the_owner(self):
        calls = 20
        with harness.Postgres() as database, harness.nodes(database, ["a", "b", "c"]) as (a, b, c), \
                harness.Sipp("ok-answer-wait-bye.xml", calls=calls) as trunk:
            a.start()
            equip(a, trunk, calls)
            ids = talking(a, calls)
            b.start()
            c.start()
            took = []
            for at, call in enumerate(ids):
                began = time.monotonic()
                (b, c)[at % 2].must("POST", f"/v1/calls/{call}/hangup")
                took.append(time.monotonic() - began)
            for call in ids:
                self.assertEqual(b.ended(call)["cause"], "api_hung_up")
            self.assertEqual(trunk.finished(), 0, trunk.errors())
            took.sort()
            print(f"hang-up of a call owned elsewhere: median {took[len(took) // 2] * 1e3:.0f} ms, worst {took[-1] * 1e3:.0f} ms")
            self.assertLess(took[len(took) // 2], 0.25)
            # The route between nodes is closed to everybody else.
            for key in ("", "a secret that only the nodes", f"{harness.KEY_ID}.{harness.KEY_SECRET}"):
                self.assertEqual(b.raw("POST", "/_node/orders", {}, key=key)[0], 401)

    def test_a_dead_owners_calls_are_ended_by_another(self):
        calls = CAP
        with harness.Postgres() as database, harness.nodes(database, ["a", "b", "c"]) as (a, b, c), \
                harness.Sipp("ok-answer-wait-bye.xml", calls=calls) as trunk:
            a.start()
            equip(a, trunk)
            ids = talking(a, calls)
            b.start()
            c.start()
            status, body = b.api("POST", "/v1/calls", {"agent": "desk", "to": "+15550300", "from": "+15550100"})
            self.assertEqual((status, body["error"]["code"]), (429, "caller_busy"))
            a.kill()
            died = time.monotonic()
            b.must("POST", f"/v1/calls/{ids[0]}/hangup")
            self.assertLess(time.monotonic() - died, 2.0, "somebody waits for the answer")
            causes = [b.ended(call, 20)["cause"] for call in ids]
            took = time.monotonic() - died
            print(f"{calls} calls of a killed server: ended by another after {took:.1f} s")
            self.assertEqual(set(causes), {"server_restarted"})
            self.assertLess(took, 15.0)
            self.assertEqual(trunk.finished(10), 0, trunk.errors())
            self.assertEqual(b.api("POST", "/v1/calls", {"agent": "desk", "to": "+15550300", "from": "+15550100"})[0], 202)

    def test_a_server_that_slept_dials_nothing_of_others(self):
        calls = 3
        with harness.Postgres() as database, harness.nodes(database, ["a", "b"]) as (a, b), \
                harness.Sipp("ok-answer-wait-bye.xml", calls=calls) as trunk:
            a.start()
            equip(a, trunk)
            ids = talking(a, calls)
            b.start()
            a.process.send_signal(signal.SIGSTOP)
            causes = [b.ended(call, 20)["cause"] for call in ids]
            a.process.send_signal(signal.SIGCONT)
            time.sleep(3)
            self.assertEqual(set(causes), {"server_restarted"})
            for call in ids:
                self.assertEqual(a.ended(call)["cause"], "server_restarted")
            self.assertEqual(trunk.messages().count("\nINVITE sip:"), calls)
            # It is a server like any other again.
            self.assertEqual(a.api("POST", "/v1/calls", {"agent": "desk", "to": "+15550300", "from": "+15550100"})[0], 202)

    def test_limits_and_keys_are_exact_over_both(self):
        # More than two hundred requests in a second come of one place here, which is not what is tried.
        with harness.Postgres() as database, harness.nodes(database, ["a", "b"], UNLIMITED) as (a, b), \
                harness.Sipp("ring-forever.xml", calls=CAP * (ROUNDS + 2)) as trunk:
            a.start()
            b.start()
            equip(a, trunk)
            request = {"agent": "desk", "to": "+15550200", "from": "+15550100"}
            answers = harness.in_parallel(
                [lambda node=node: node.api("POST", "/v1/calls", request, {"Idempotency-Key": "once"}) for node in (a, b) * 50])
            self.assertEqual(len({body["id"] for status, body in answers if status == 202}), 1, answers)
            once = answers[0][1]["id"]
            ringing(a, once)
            a.must("POST", f"/v1/calls/{once}/hangup")
            a.ended(once)
            for round_number in range(ROUNDS):
                answers = harness.in_parallel(
                    [lambda node=node: node.api("POST", "/v1/calls", request) for node in (a, b) * 64])
                accepted = [body["id"] for status, body in answers if status == 202]
                refused = {body["error"]["code"] for status, body in answers if status != 202}
                self.assertEqual((len(accepted), refused), (CAP, {"caller_busy"}), f"round {round_number}")
                for call in accepted:
                    ringing(a, call)
                for at, call in enumerate(accepted):
                    (a, b)[at % 2].must("POST", f"/v1/calls/{call}/hangup")
                for call in accepted:
                    self.assertEqual(a.ended(call)["cause"], "cancelled")

    def test_a_database_that_goes_away_for_a_while(self):
        calls = 3
        with harness.Postgres() as database, harness.nodes(database, ["a"]) as (a,), \
                harness.Sipp("ok-answer-wait-bye.xml", calls=calls + 1) as trunk:
            a.start()
            equip(a, trunk)
            ids = talking(a, calls)
            database.pause()
            try:
                request = {"agent": "desk", "to": "+15550300", "from": "+15550100"}
                self.assertEqual(a.api("POST", "/v1/calls", request, timeout=30)[0], 503)
                time.sleep(5)
            finally:
                database.resume()
            for call in ids:
                self.assertEqual(a.must("GET", f"/v1/calls/{call}", timeout=30)["status"], "talking")
                a.must("POST", f"/v1/calls/{call}/hangup")
                self.assertEqual(a.ended(call)["cause"], "api_hung_up")
            harness.wait_for("accepting again", lambda: a.api("POST", "/v1/calls", request)[0] == 202)


    def test_a_stopped_server_moves_to_postgres(self):
        with harness.Postgres() as database, harness.nodes(database, ["a"]) as (a,), harness.server() as old:
            for at in range(30):
                old.must("PUT", f"/v1/agents/desk{at}", {**harness.AGENT, "name": "caf\u00e9 \\ tab\t line\n"})
            with harness.Sipp("final-486.xml", calls=3) as trunk:
                equip(old, trunk)
                ids = [old.call(to=f"+1555020{at:04}", **{"from": "+15550100"}) for at in range(3)]
                views = [old.ended(call) for call in ids]
            running = subprocess.run(
                [str(harness.BINARY), "migrate", "--from", str(old.folder / "data"), "--to", database.url], stderr=subprocess.PIPE)
            self.assertEqual(running.returncode, 1)
            self.assertIn(b"in use", running.stderr)
            agents = old.must("GET", "/v1/agents?limit=100")
            old.kill()
            for expected in (0, 1):
                moved = subprocess.run(
                    [str(harness.BINARY), "migrate", "--from", str(old.folder / "data"), "--to", database.url],
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                self.assertEqual(moved.returncode, expected, moved.stderr)
            self.assertIn(b"was moved to", moved.stderr)
            # Started again as it was, it would dial what is the new one's.
            again = subprocess.run(
                [str(harness.BINARY), "serve", "--config", str(old.config)], stderr=subprocess.PIPE, timeout=30)
            self.assertEqual(again.returncode, 1)
            self.assertIn(b"--undo", again.stderr)
            a.start()
            self.assertEqual([a.must("GET", f"/v1/calls/{call}") for call in ids], views)
            self.assertEqual(a.must("GET", "/v1/agents?limit=100"), agents)


if __name__ == "__main__":
    unittest.main(verbosity=2)
