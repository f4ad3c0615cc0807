"""What a wall clock that jumps does to live calls (BARS R63): the server runs under libfaketime, and its clock is moved by an
hour and a day, forwards and backwards, while people talk. The records must say how long they talked, nothing may end or expire
early, the next call must be placed and nobody rung twice, and every end must be told. The date of a vendor's signature is judged by
the clock on the wall, wherever it hangs.

    python3 tests/heavy/clock.py [--jumps=3600,-3600,86400,-86400] [--talk 8] [--calls 4] [--postgres]
"""

import argparse
import contextlib
import http.server
import json
import os
import pathlib
import socket
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import harness  # noqa: E402
import signatures  # noqa: E402
from cluster import UNLIMITED, Talkers, equip, told  # noqa: E402

CALLER = "+15560100"


def faketime():
    for folder in sorted(pathlib.Path("/usr/lib").glob("*/faketime")):
        library = folder / "libfaketimeMT.so.1"
        if library.exists():
            return library
    sys.exit("libfaketime is needed (Debian: apt-get install faketime)")


class Wall:
    """The clock on the server's wall, so many seconds from ours. Nothing but that clock is moved."""

    def __init__(self, folder):
        self.file, self.offset = pathlib.Path(folder) / "wall", 0
        self.set(0)
        self.environment = {"LD_PRELOAD": str(faketime()), "FAKETIME_TIMESTAMP_FILE": str(self.file), "FAKETIME_NO_CACHE": "1",
                            "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1"}

    def set(self, offset):
        self.offset = offset
        fresh = self.file.with_suffix(".new")
        fresh.write_text(f"{offset:+d}")
        fresh.replace(self.file)

    def jump(self, by):
        self.set(self.offset + by)

    @contextlib.contextmanager
    def on(self):
        before = dict(os.environ)
        os.environ.update(self.environment)
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)


class Listener:
    """Receives what is told of calls."""

    def __init__(self):
        heard = self.heard = {}

        class Ear(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                heard.setdefault((body["data"].get("call") or {}).get("id"), {})[body["type"]] = time.monotonic()
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Ear)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_address[1]}/"


# How far a signature's date may be from the wall's, in seconds (Tencent's rule).
SIGNED_WITHIN = 300


def judged(server, seconds):
    """What is said of a request that was signed at this moment: an error's code, or nothing."""
    host = server.addresses["http"]
    request = signatures.signed(host, "DescribeNumbers", {}, seconds=seconds)
    name, port = host.rsplit(":", 1)
    with socket.create_connection((name, int(port)), timeout=10) as peer:
        peer.sendall(request.replace(b"\r\nHost:", b"\r\nConnection: close\r\nHost:", 1))
        answer = b"".join(iter(lambda: peer.recv(65536), b""))
    return json.loads(answer.split(b"\r\n\r\n", 1)[1])["Response"].get("Error", {}).get("Code", "")


def dates(server, wall):
    """Signatures by the wall's clock, by ours, and by one that is just too late."""
    problems, on_the_wall = [], time.time() + wall.offset
    for seconds in (on_the_wall, time.time(), on_the_wall - SIGNED_WITHIN - 60):
        away = abs(seconds - on_the_wall)
        code = judged(server, seconds)
        late = code == "AuthFailure.SignatureExpire"
        if late != (away > SIGNED_WITHIN) or (code.startswith("AuthFailure") and not late):
            problems.append(f"a signature {away:.0f} s from the wall's clock: {code!r}")
    return problems


def one(server, wall, telephones, ear, by, chosen):
    """People talk, the clock jumps in the middle; what is wrong, in words."""
    problems, before = [], telephones.calls()
    serial = abs(hash((by, before))) % 90 + 10
    numbers = [f"+1555{serial}{at}{chosen.talk:02}99" for at in range(chosen.calls)]
    ids = {server.call(to=number, **{"from": CALLER}): number for number in numbers}
    harness.wait_for("talk", lambda: sum(number.lstrip("+") in {row[0].lstrip("+") for row in telephones.talked.values()}
                                         for number in numbers) == len(numbers), 30)
    time.sleep(chosen.talk / 3)
    wall.jump(by)
    jumped = time.monotonic()
    views = {call: server.ended(call, chosen.talk + 30) for call in ids}
    rows = {row[0].lstrip("+"): row for row in telephones.talked.values()}
    for call, number in ids.items():
        view, (_, begin, end) = views[call], rows[number.lstrip("+")]
        if view["cause"] != "callee_hung_up":
            problems.append(f"{call} ended by {view['cause']}")
        if abs(view["duration_s"] - (end - begin)) > 1:
            problems.append(f"{call}: {view['duration_s']:.2f} s in the record, {end - begin:.2f} s at the telephone")
    problems += dates(server, wall)
    # Nobody is kept waiting by a clock: another call at once, and it is told of.
    number = f"+1555{serial}90199"
    again = server.call(to=number, **{"from": CALLER})
    view = server.ended(again, 30)
    if view["cause"] != "callee_hung_up":
        problems.append(f"a call after the jump ended by {view['cause']}")
    for call in [*ids, again]:
        try:
            harness.wait_for("its end is told", lambda: "call.ended" in ear.heard.get(call, {}), 20)
        except AssertionError:
            problems.append(f"{call}: its end was not told within 20 s")
    late = max((ear.heard[call]["call.ended"] - jumped for call in ids if "call.ended" in ear.heard.get(call, {})), default=0)
    if telephones.calls() - before != len(ids) + 1:
        problems.append(f"{telephones.calls() - before} were rung instead of {len(ids) + 1}")
    off = max(abs(views[call]["duration_s"] - (rows[number.lstrip("+")][2] - rows[number.lstrip("+")][1])) for call, number in ids.items())
    print(f"  {by:+d} s: records off by at most {off:.2f} s, all told {late:.1f} s after the jump at the latest, "
          f"{len(problems)} wrong", flush=True)
    return problems


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jumps", default="3600,-3600,86400,-86400,-30,30")
    parser.add_argument("--talk", type=int, default=9)
    parser.add_argument("--calls", type=int, default=4)
    parser.add_argument("--postgres", action="store_true")
    chosen = parser.parse_args()
    faketime()
    telephones, ear, problems = Talkers(), Listener(), []
    telephones.unit = 1
    # They say nothing.
    os.environ["CALLWRIGHT__MEDIA__TIMEOUT_S"] = "600"
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="callwright-clock-"))
        extra = UNLIMITED + '[webhooks]\nplain_http = "on"\nallow_private = "on"\n'
        wall = Wall(folder)
        if chosen.postgres:
            database = stack.enter_context(harness.Postgres())
            server = stack.enter_context(harness.nodes(database, ["a"], extra))[0]
        else:
            server = harness.Server(folder, extra)
        with wall.on():
            server.start()
        stack.callback(server.stop)
        equip(server, telephones.port, max_calls=100)
        server.must("POST", "/v1/webhooks", {"url": ear.url, "events": ["call.ended"]})
        for by in map(int, chosen.jumps.split(",")):
            problems += one(server, wall, telephones, ear, by, chosen)
    telephones.close()
    for problem in problems:
        print(f"  {problem}")
    return told(not problems, f"the clock jumped by {chosen.jumps} seconds during calls: {len(problems)} wrong")


if __name__ == "__main__":
    sys.exit(main())
