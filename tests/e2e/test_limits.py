"""Sixty-four clients at once against a number that carries fifteen calls: never sixteen, every refusal in words, every
place given back."""

import contextlib
import os
import resource
import select
import socket
import time
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

    def test_without_file_descriptors_clients_are_told_and_calls_go_on(self):
        with harness.server() as server, harness.Sipp("ok-answer-wait-bye.xml") as trunk, contextlib.ExitStack() as crowd:
            server.agent(opening={"greeting": "none"}, limits={"max_duration_s": 120, "ring_timeout_s": 30})
            server.trunk("t1", trunk.port)
            server.number("+15550100", "t1")
            call = server.call(to="+15550200", **{"from": "+15550100"})
            harness.wait_for("answer", lambda: server.must("GET", f"/v1/calls/{call}")["status"] == "talking")
            used = len(os.listdir(f"/proc/{server.process.pid}/fd"))
            before = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
            resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (used + 10, before[1]))
            address = tuple(server.addresses["http"].split(":"))
            waiting, told = [crowd.enter_context(socket.create_connection(address)) for _ in range(30)], []

            def half_are_told():
                # One that has a place waits for a request; one that has none is told so without.
                for line in select.select(waiting, [], [], 0.1)[0]:
                    waiting.remove(line)
                    told.append(line.recv(4096))
                return len(told) >= 15

            harness.wait_for("word to those that came too late", half_are_told)
            self.assertTrue(all(text.startswith(b"HTTP/1.1 503 ") and b"Retry-After: 1" in text for text in told), told)
            crowd.close()
            harness.wait_for("room", lambda: server.api("GET", f"/v1/calls/{call}")[0] == 200)
            self.assertEqual(server.must("GET", f"/v1/calls/{call}")["status"], "talking")
            server.must("POST", f"/v1/calls/{call}/hangup")
            self.assertEqual(server.ended(call)["cause"], "api_hung_up")

    def test_without_rtp_ports_a_call_ends_with_a_word_and_the_others_go_on(self):
        first = free_ports(4)
        request = {"to": "+15550200", "from": "+15550100"}
        with harness.server(f'ports = "{first}-{first + 3}"') as server, harness.Sipp("ok-answer-wait-bye.xml", calls=100) as trunk:
            server.agent(opening={"greeting": "none"}, limits={"max_duration_s": 120, "ring_timeout_s": 30})
            server.trunk("t1", trunk.port)
            server.number("+15550100", "t1")
            state = lambda call: server.must("GET", f"/v1/calls/{call}")["status"]  # noqa: E731
            calls = [server.call(**request) for _ in range(2)]
            for call in calls:
                harness.wait_for("answer", lambda: state(call) == "talking")
            self.assertEqual(server.ended(server.call(**request))["cause"], "media_failed")
            self.assertEqual([state(call) for call in calls], ["talking", "talking"])
            server.must("POST", f"/v1/calls/{calls[0]}/hangup")

            def goes_again():
                time.sleep(1)
                call = server.call(**request)
                harness.wait_for("its fate", lambda: state(call) in ("talking", "ended"))
                return state(call) == "talking"

            # A port rests for half a minute after its call.
            harness.wait_for("a free port", goes_again, 60)


def free_ports(count):
    """The first, an even one, of ports in a row that nobody has."""
    while True:
        first = harness.free_udp_port() // 2 * 2
        with contextlib.ExitStack() as held:
            try:
                for port in range(first, first + count):
                    held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)).bind(("127.0.0.1", port))
                return first
            except OSError:
                continue


class CoreFiles(unittest.TestCase):
    """The memory of a server that crashes holds keys and what people said: it goes into no file unless the owner says so."""

    def limit(self):
        with harness.server() as server:
            return resource.prlimit(server.process.pid, resource.RLIMIT_CORE)

    def test_a_crash_leaves_none_unless_it_is_asked_for(self):
        before = resource.getrlimit(resource.RLIMIT_CORE)
        some = 4096 if before[1] == resource.RLIM_INFINITY else min(4096, before[1])
        self.addCleanup(os.environ.pop, "CALLWRIGHT__SERVER__CORE_FILES", None)
        try:
            resource.setrlimit(resource.RLIMIT_CORE, (some, before[1]))
            self.assertEqual(self.limit(), (0, 0))
            os.environ["CALLWRIGHT__SERVER__CORE_FILES"] = "true"
            self.assertEqual(self.limit(), (some, before[1]))
        finally:
            resource.setrlimit(resource.RLIMIT_CORE, before)


if __name__ == "__main__":
    unittest.main(verbosity=2)
