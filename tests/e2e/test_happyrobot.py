"""Code written for HappyRobot's dial API, as plain HTTP: a real call to a SIPp callee, its hooks, transcript and recording."""

import copy
import datetime
import http.server
import json
import os
import pathlib
import re
import socket
import subprocess
import threading
import time
import unittest
import urllib.request

import callees
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


class Telephones(callees.Callees):
    """Telephones whose last two digits say what becomes of a call to them: 00 is busy, 20 only rings, and so on below."""

    UNHEARD_OF, SILENT, TALKS, MACHINE = "40", "50", "60", "70"

    def handle(self, text, source, at):
        start, _, rest = text.partition("\r\n")
        head = rest.partition("\r\n\r\n")[0]
        dialog = self.dialogs.get(self.header(head, "Call-ID", "i"))
        kind = dialog.number[-2:] if dialog else ""
        if start.startswith("ACK") and kind in (self.TALKS, self.MACHINE):
            if kind == self.MACHINE:
                threading.Thread(target=self.beep, args=(dialog.media,), daemon=True).start()
        elif start.startswith("REFER"):
            self.send(self.reply("202 Accepted", head), source)
            self.send(self.taken(dialog, head), source)
        else:
            media = re.search(r"^m=audio (\d+)", text, re.M)
            super().handle(text, source, at)
            if media and (dialog := self.dialogs.get(self.header(head, "Call-ID", "i"))):
                dialog.media = ("127.0.0.1", int(media.group(1)))

    def invited(self, start, head, call_id, source, at):
        number = re.match(r"INVITE sip:([^@;>\s]+)@", start).group(1)
        answers = {self.UNHEARD_OF: "404 Not Found", self.SILENT: "100 Trying"}
        if number[-2:] not in answers:
            super().invited(start, head, call_id, source, at)
            return
        dialog = self.dialogs.setdefault(call_id, callees.Dialog(number, at))
        dialog.invite = head
        self.send(self.reply(answers[number[-2:]], head), source)

    def taken(self, dialog, refer):
        """Whom the callee was handed over to has answered."""
        bye = self.bye(dialog, ("127.0.0.1", 0)).partition("Content-Length")[0]
        lines = bye.replace("BYE", "NOTIFY").replace("z9hG4bKbye", "z9hG4bKnotify")
        said = "SIP/2.0 200 OK\r\n"
        return (f"{lines}Event: refer\r\nSubscription-State: terminated;reason=noresource\r\n"
                f"Content-Type: message/sipfrag;version=2.0\r\nContent-Length: {len(said)}\r\n\r\n{said}")

    @staticmethod
    def beep(media):
        """The tone after which a mailbox records: 1,000 Hz at 8,000 samples a second, in mu-law; then silence."""
        wave = bytes([0xFF, 0x9A, 0x92, 0x9A, 0xFF, 0x1A, 0x12, 0x1A])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
            for place in range(150):
                sound = wave * 20 if 25 <= place < 60 else bytes([0xFF]) * 160
                head = bytes([0x80, 0]) + place.to_bytes(2, "big") + (160 * place).to_bytes(4, "big") + b"beep"
                line.sendto(head + sound, media)
                time.sleep(0.02)


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

    def test_every_status_is_reached_by_a_call(self):
        telephones = Telephones()
        self.addCleanup(telephones.close)
        with harness.server(LOOSE) as server:
            server.trunk("telephones", telephones.port)
            server.number(CALLER, "telephones")
            server.agent(limits={"max_duration_s": 30, "ring_timeout_s": 4})
            number, case = (self.ask(server, "GET", what)[0]["id"] for what in ("numbers", "use-cases"))
            changed = self.ask(server, "PATCH", f"use-cases/{case}", {"amd": True, "amd_behavior": "Hangup"})
            self.assertEqual((changed["amd"], changed["amd_behavior"]), (True, "Hangup"))

            # The built-in recogniser hears English alone: its calls would be refused one by one.
            status, answer = server.api("PATCH", f"/api/v1/use-cases/{case}", {"language": "de-DE"})
            self.assertEqual(status, 501, answer)

            def dial(last, **more):
                return self.ask(server, "POST", "dial/outbound", {"number_id": number, "phone_number": f"+155501230{last}",
                                                                  "use_case_id": case, "params": None, **more})

            def reached(call, status):
                with self.subTest(status):
                    show = lambda: self.ask(server, "GET", f"calls/{call['id']}")["status"]
                    harness.wait_for(status, lambda: show() == status)

            tomorrow = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1)
            calls = {last: dial(last) for last in ["00", "20", "40", "50", "60", "70", "99"]}
            self.assertEqual({call["status"] for call in calls.values()}, {"Queued"})
            reached(dial("01", scheduled_for=tomorrow.isoformat()), "Scheduled")
            reached(calls["50"], "Initiated")
            reached(calls["20"], "Ringing")
            reached(calls["60"], "In progress")
            native = server.must("GET", "/v1/calls?limit=50")["calls"]
            talking = next(call["id"] for call in native if call["to"].endswith("60"))
            server.must("POST", f"/v1/calls/{talking}/transfer", {"to": "+15550177"})
            self.ask(server, "POST", f"calls/{calls['50']['id']}/stop")
            for last, status in [("00", "Busy"), ("40", "Failed"), ("99", "Completed"), ("70", "AMD Terminated"),
                                 ("60", "Transferred"), ("50", "Canceled"), ("20", "No answer")]:
                reached(calls[last], status)
            for status in ["Busy", "AMD Terminated", "Transferred"]:
                listed = self.ask(server, "GET", f"calls?statuses={status.replace(' ', '%20')}")
                self.assertEqual(len(listed if isinstance(listed, list) else listed["calls"]), 1, listed)


if __name__ == "__main__":
    unittest.main(verbosity=2)
