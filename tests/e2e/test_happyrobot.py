"""Code written for HappyRobot's dial API, as plain HTTP: a real call to a SIPp callee, its hooks, transcript and recording."""

import copy
import http.server
import json
import os
import pathlib
import subprocess
import threading
import unittest
import urllib.request

import harness

LOOSE = '[webhooks]\nplain_http = "on"\nallow_private = "on"\n'
CALLER, CALLEE = "+15550100", "+15550123"
HERE = pathlib.Path(__file__).resolve().parent
VENVS = pathlib.Path(os.environ.get("CALLWRIGHT_VENVS", harness.ROOT / ".callwright" / "venvs"))


def read_by_the_package(events):
    """What the vendor's package makes of events."""
    command = [str(VENVS / "happyrobot" / "bin" / "python"), str(HERE / "happyrobot_client.py")]
    lines = "".join(json.dumps(event) + "\n" for event in events)
    done = subprocess.run(command, input=lines, capture_output=True, text=True, timeout=60, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


class Receiver:
    """Keeps what the hooks of a use case tell."""

    def __enter__(self):
        told = self.told = []

        class Answer(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                told.append((self.headers["X-Hook-Key"], body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


class HappyRobot(unittest.TestCase):
    def ask(self, server, method, path, body=None):
        return server.must(method, f"/api/v1/{path}", body)

    def test_a_call_from_the_request_to_its_hooks(self):
        with harness.server(LOOSE) as server, Receiver() as receiver, \
                harness.Sipp("ok-answer-wait-bye.xml") as trunk:
            server.trunk("sipp", trunk.port)
            server.number(CALLER, "sipp")
            server.agent(limits={"max_duration_s": 30, "ring_timeout_s": 4})
            number = self.ask(server, "GET", "numbers")[0]
            case = self.ask(server, "GET", "use-cases")[0]
            hook = {"url": receiver.url, "headers": [{"key": "X-Hook-Key", "value": "mine"}]}
            self.ask(server, "PATCH", f"use-cases/{case['id']}", {"hooks": [hook]})
            call = self.ask(server, "POST", "dial/outbound", {
                "number_id": number["id"], "phone_number": CALLEE, "use_case_id": case["id"],
                "metadata": {"clientId": "123"}, "params": None})
            self.assertEqual(call["metadata"]["custom"], {"clientId": "123"})
            show = lambda: self.ask(server, "GET", f"calls/{call['id']}")
            said = lambda: self.ask(server, "GET", f"calls/{call['id']}/transcript")["messages"]
            harness.wait_for("the greeting", lambda: any("How can I help" in line["content"] for line in said()))
            self.assertEqual(show()["status"], "In progress")
            self.ask(server, "POST", f"calls/{call['id']}/stop")
            ended = harness.wait_for("end of the call", lambda: (view := show())["status"] == "Completed" and view)
            self.assertGreater(ended["duration"], 0)
            messages = said()
            link = lambda: server.api("GET", f"/api/v1/calls/{call['id']}/recording")
            harness.wait_for("recording", lambda: link()[0] == 200)
            with urllib.request.urlopen(link()[1]["url"], timeout=10) as answer:
                self.assertEqual(answer.read(4), b"RIFF")
            harness.wait_for("both events", lambda: len(receiver.told) == 2)
            self.assertEqual([(key, body["type"]) for key, body in receiver.told], [("mine", "start"), ("mine", "end")])
            for _, body in receiver.told:
                self.assertEqual((body["call"]["id"], body["call"]["use_case"]["id"]), (call["id"], case["id"]))
                self.assertEqual((body["call"]["metadata"]["from"], body["call"]["metadata"]["to"]), (CALLER, CALLEE))
            end = receiver.told[1][1]
            self.assertEqual((end["call"]["status"], end["content"]["messages"]), ("Completed", messages))
            self.assertEqual(trunk.finished(), 0, trunk.errors())
            # The vendor's own models take both events, and would not take ones without what they need.
            events = [body for _, body in receiver.told]
            broken = copy.deepcopy(events[1])
            del broken["call"]["metadata"]["from"]
            start, over, refused = read_by_the_package([*events, broken])
            self.assertEqual((start["type"], over["type"]), ("start", "end"))
            for read in (start, over):
                self.assertEqual((read["id"], read["from"], read["to"]), (call["id"], CALLER, CALLEE))
            self.assertIn("How can I help", over["messages"][0]["content"])
            self.assertEqual(refused, {"refused": ["call.metadata.from"]})
            note = self.ask(server, "POST", f"calls/{call['id']}/notes", {"content": "Call back", "flagged": True})
            self.assertEqual(note["notes"][0]["content"], "Call back")
            used = self.ask(server, "GET", "usage")
            self.assertEqual(used["calls"], 1)
            self.assertGreater(used["minutes"], 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
