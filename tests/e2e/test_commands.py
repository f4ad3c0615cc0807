"""The command line as a person uses it: mistakes are named with their remedy, and the demo holds a real conversation."""

import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import time
import unittest

import harness


def callwright(*arguments, timeout=60, **environment):
    done = subprocess.run([str(harness.BINARY), *arguments], capture_output=True, text=True, timeout=timeout,
                          env={**os.environ, **environment})
    return done.returncode, done.stdout + done.stderr


class Mistakes(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="callwright-commands-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def config(self, text):
        file = self.folder / "callwright.toml"
        file.write_text(text)
        return str(file)

    def expect(self, arguments, *parts):
        code, said = callwright(*arguments)
        self.assertNotEqual(code, 0, said)
        for part in parts:
            self.assertIn(part, said)
        self.assertNotIn("panicked", said)

    def test_a_mistake_in_the_configuration_names_file_key_and_remedy(self):
        for text, *parts in [
            ("[http]\nport = 1", "callwright.toml", "port", "listen"),
            ("[media]\nports = \"9-3\"", "media.ports", "10000-32767"),
            ("[trunks.a]\nport = 1", "trunks.a.host"),
            ("[ears.x]\nkind = \"telepathy\"", "ears", "telepathy", "deepgram"),
            ("nonsense", "line 1"),
        ]:
            with self.subTest(text):
                self.expect(["check", "--config", self.config(text)], *parts)

    def test_a_missing_file_says_so(self):
        self.expect(["check", "--config", str(self.folder / "none.toml")], "none.toml", "print-config")

    def test_an_occupied_port_says_what_to_do(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            config = self.config(
                f"[server]\ndata = \"{self.folder}/data\"\n[http]\nlisten = \"127.0.0.1:{port}\"\n"
                "[sip]\nudp = \"127.0.0.1:0\"\n[media]\naddress = \"127.0.0.1\"")
            self.expect(["serve", "--config", config], "http.listen", str(port), "choose another port")
            self.expect(["check", "--config", config], "http.listen", "choose another")

    def test_a_second_server_on_the_same_data_is_refused(self):
        with harness.server() as server:
            self.expect(["serve", "--config", str(server.config)], "in use by another process")

    def test_missing_models_say_which_command_brings_them(self):
        self.expect(["demo", "--brain", "script", "--models", str(self.folder / "none"), "--data", str(self.folder / "d")],
                    "models fetch core")

    def test_secrets_are_masked_when_the_configuration_is_printed(self):
        config = self.config("[keys.me]\nsecret = \"${SECRET_OF_MINE}\"\n[trunks.t]\nhost = \"h\"\npassword = \"hunter2\"")
        code, said = callwright("print-config", "--config", config, SECRET_OF_MINE="tell-nobody")
        self.assertEqual(code, 0, said)
        self.assertIn("***", said)
        for secret in ["tell-nobody", "hunter2"]:
            self.assertNotIn(secret, said)

    def test_a_server_that_is_not_there(self):
        self.expect(["call", "+15550100", "--agent", "x", "--server", "http://127.0.0.1:9", "--key", "a.b"],
                    "callwright serve")


class Running(unittest.TestCase):
    def test_an_unreachable_trunk_ends_the_call_with_a_cause(self):
        with harness.server() as server:
            server.agent()
            server.trunk("nowhere", 5060)
            server.must("PUT", "/v1/trunks/nowhere", {"host": "does-not-exist.invalid", "port": 5060})
            server.number("+15550100", "nowhere")
            call = server.call(to="+15550200", **{"from": "+15550100"})
            self.assertEqual(server.ended(call)["cause"], "trunk_failed")

    def talking(self, server, trunk, calls):
        server.trunk("t1", trunk.port)
        server.number("+15550100", "t1", calls + 1)
        ids = [server.call(to=f"+15550{200 + at}", **{"from": "+15550100"}) for at in range(calls)]
        for call in ids:
            harness.wait_for("talk", lambda: server.must("GET", f"/v1/calls/{call}")["status"] == "talking", 60)
        return ids

    def test_sigterm_lets_fifty_calls_end_and_takes_no_new_ones(self):
        calls = 50
        with harness.server("[http.rates]\nper_source = 0\nper_key = 0\n") as server, \
                harness.Sipp("ok-answer-wait-bye.xml", calls=calls) as trunk:
            # Nothing is said: what is tried here is the end, and not how fast a voice loads.
            server.agent(opening={"greeting": "none"}, limits={"max_duration_s": 20, "ring_timeout_s": 60})
            ids = self.talking(server, trunk, calls)
            server.process.send_signal(signal.SIGTERM)
            began = time.monotonic()
            harness.wait_for("drain", lambda: server.raw("GET", "/readyz")[0] == 503)
            print(f"not ready {(time.monotonic() - began) * 1e3:.0f} ms after SIGTERM")
            self.assertLess(time.monotonic() - began, 1.0)
            number = server.must("GET", "/api/v1/numbers")[0]["id"]
            for path, body in [("/v1/calls", {"agent": "desk", "to": "+15550300", "from": "+15550100"}),
                               ("/api/v1/dial/outbound", {"phone_number": "+15550300", "number_id": number})]:
                status, headers, _ = server.raw("POST", path, body)
                self.assertEqual((status, headers.get("Retry-After")), (503, "30"), path)
            self.assertEqual(server.process.wait(60), 0)
            self.assertEqual(trunk.finished(), 0, trunk.errors())
            server.start()
            causes = {server.must("GET", f"/v1/calls/{call}")["cause"] for call in ids}
            self.assertEqual(causes, {"max_duration"}, "each call went on to its own end")

    def test_a_second_sigterm_ends_calls_with_a_goodbye(self):
        with harness.server() as server, harness.Sipp("ok-answer-wait-bye.xml", calls=3) as trunk:
            server.agent(opening={"greeting": "none"}, limits={"max_duration_s": 600, "ring_timeout_s": 60})
            ids = self.talking(server, trunk, 3)
            server.process.send_signal(signal.SIGTERM)
            harness.wait_for("drain", lambda: server.raw("GET", "/readyz")[0] == 503)
            server.process.send_signal(signal.SIGTERM)
            self.assertEqual(server.process.wait(30), 0)
            self.assertEqual(trunk.finished(), 0, trunk.errors())
            server.start()
            for call in ids:
                self.assertEqual(server.must("GET", f"/v1/calls/{call}")["cause"], "server_shutdown")

    def test_the_demo_is_a_real_conversation(self):
        # Two people talk in real time here. A machine that stood still for a second in the middle of a sentence makes one
        # of them think that the other had finished, and nothing after it is a conversation: such a machine is asked again.
        for attempt in range(1, 4):
            flaws = self.flaws_of_a_demo()
            if not flaws:
                return
            print(f"demo, attempt {attempt}: {flaws}")
        self.fail("three demos of three were no conversation; the last: " + flaws)

    def flaws_of_a_demo(self):
        """What is wrong with one run of the demo; nothing if it was a conversation. What no stall explains fails at once."""
        with tempfile.TemporaryDirectory(prefix="callwright-demo-") as folder:
            code, said = callwright("demo", "--brain", "script", "--exit", "--models", str(harness.MODELS), "--data", folder,
                                    "--listen", "127.0.0.1:0", timeout=240)
            self.assertNotIn("panicked", said)
            turns, interruptions = map(int, re.search(r"Turns: (\d+), interruptions: (\d+)", said).groups())
            errors = float(re.search(r"back with ([\d.]+) % word errors", said).group(1))
            good = turns >= 5 and interruptions >= 1 and errors < 15
            self.assertEqual(code == 0, good, said)
            recording = next(pathlib.Path(folder, "recordings").glob("*.wav"))
            self.assertGreater(recording.stat().st_size, 400_000)
            return "" if good else said


if __name__ == "__main__":
    unittest.main(verbosity=2)
