"""What the commands over several servers share: how their servers are equipped, telephones that talk, and the verdict."""

import pathlib
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import callees  # noqa: E402

CALLER = "+15560100"
CAP = 15
UNLIMITED = "[http.rates]\nper_source = 0\nper_key = 0\n"


def told(good, text):
    print(("holds: " if good else "BROKEN: ") + text, flush=True)
    return 0 if good else 1


def equip(server, port, max_calls=CAP, **trunk):
    server.agent(opening={"greeting": "none"}, limits={"max_duration_s": 600, "ring_timeout_s": 120})
    server.trunk("t1", port, **trunk)
    server.number(CALLER, "t1", max_calls)


class Talkers(callees.Callees):
    """Telephones that answer, talk as long as the digits of their number say, and keep the time."""

    # Parts of a second in which their numbers count.
    unit = 10

    def __init__(self):
        self.talked, self.byes = {}, {}
        super().__init__()

    def handle(self, text, source, at):
        head = text.partition("\r\n\r\n")[0]
        call_id, method = self.header(head, "Call-ID", "i"), text.split(" ")[0]
        if method == "BYE":
            self.over(call_id, at)
        if method != "ACK":
            return super().handle(text, source, at)
        dialog = self.dialogs.get(call_id)
        if dialog and dialog.outcome == "answered_unconfirmed":
            dialog.outcome = "answered"
            self.talked[call_id] = [dialog.number, at, None]
            length = int(dialog.number[-4:-2]) / self.unit
            threading.Timer(length, self.goodbye, (call_id, dialog, source)).start()

    def goodbye(self, call_id, dialog, source):
        with self.lock:
            if self.talked[call_id][2] is None:
                self.over(call_id, time.time())
                self.send(self.bye(dialog, source), source)

    def over(self, call_id, at):
        if call_id in self.talked and self.talked[call_id][2] is None:
            self.talked[call_id][2] = at
