"""The disk under the data directory fills up and is emptied again (BARS R60): calls are refused with a clear fault meanwhile
and never acknowledged and lost, a call that is up goes on, and all is well afterwards without a restart. Mounts a small
file system in memory, so it needs root.

    python3 tests/heavy/disk_full.py
"""

import contextlib
import pathlib
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import harness  # noqa: E402

SIZE_MB = 48
# Long enough to be up before, while and after the disk is full.
CALL_S = 40
# How long it stays full.
FULL_S = 12


@contextlib.contextmanager
def small_disk():
    """A disk for everything the server writes, its log too: a line that cannot be logged must not hurt anybody."""
    place = pathlib.Path(tempfile.mkdtemp(prefix="callwright-disk-"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "tmpfs", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)
        place.rmdir()


def fill(path):
    with open(path, "wb", buffering=0) as file:
        with contextlib.suppress(OSError):
            while True:
                file.write(bytes(1 << 16))
        with contextlib.suppress(OSError):
            while True:
                file.write(bytes(512))


def ask(server, number):
    return server.api("POST", "/v1/calls", {"agent": "desk", "to": f"+1555{number:07}"}, timeout=30)


def main():
    problems = []
    with small_disk() as place, harness.Sipp("ok-answer-wait-bye.xml", calls=200) as trunk:
        server = harness.Server(place, "timeout_s = 300").start()
        try:
            server.agent(limits={"max_duration_s": CALL_S, "ring_timeout_s": 5})
            server.trunk("t", trunk.port)
            server.number("+15560100000", "t", 100)
            up = ask(server, 1_000_000)[1]["id"]
            harness.wait_for("the call", lambda: server.must("GET", f"/v1/calls/{up}")["status"] == "talking", 20)
            harness.wait_for("some of its recording", lambda: any(
                file.stat().st_size > 1000 for file in (place / "data" / "recordings").glob("*.wav")), 20)
            fill(place / "filler")
            acknowledged, refusals = [], []
            for number in range(1_000_001, 1_000_013):
                status, answer = ask(server, number)
                (acknowledged if status < 300 else refusals).append(answer if status >= 300 else answer["id"])
            print(f"full: {len(acknowledged)} accepted, {len(refusals)} refused, such as {refusals[:1]}")
            codes = {refusal["error"]["code"] for refusal in refusals}
            if not refusals or codes != {"storage"}:
                problems.append(f"refusals with {codes}")
            status, view = server.api("GET", f"/v1/calls/{up}")
            if status != 200 or view["status"] != "talking":
                problems.append(f"the call that was up: {status} {view}")
            # Long enough for what is recorded to reach the disk.
            time.sleep(FULL_S)
            (place / "filler").unlink()
            freed = time.monotonic()
            status = harness.wait_for("an accepted call", lambda: ask(server, 1_000_100)[0] < 300, 20)
            print(f"accepted again {time.monotonic() - freed:.1f} s after there was room")
            for call in acknowledged:
                if server.api("GET", f"/v1/calls/{call}")[0] != 200:
                    problems.append(f"{call} was acknowledged and is lost")
            ended = server.ended(up, CALL_S + 20)
            if ended["cause"] != "max_duration":
                problems.append(f"the call that was up ended by {ended['cause']}")
            troubles = [event for event in server.must("GET", f"/v1/calls/{up}")["timeline"] if event["event"] == "trouble"]
            print("troubles of that call:", troubles)
            if all(event["part"] != "recording" for event in troubles):
                problems.append("nothing says that its recording stopped")
            recorded = harness.wait_for("what was recorded before", lambda: (
                lambda status, _, bytes: status == 200 and bytes)(*server.raw("GET", f"/v1/calls/{up}/recording")))
            print(f"{len(recorded)} bytes were recorded before it was full")
        except BaseException:
            print(server.tail())
            raise
        finally:
            server.stop()
    print("\n".join(["FAIL:", *problems]) if problems else "nothing was lost")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
