#!/usr/bin/env python3
"""Measures one core: how long callers wait for the agent, and how many calls with a whole agent it carries.

The server runs alone on one core; the far end of the trunk and a stand-in for the vendors run on another. The calls are
placed through the HTTP API. docs/capacity.md says what the tools must do and what the figures mean.
"""

import argparse
import contextlib
import http.client
import json
import math
import os
import pathlib
import random
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import wave

sys.path.insert(0, str(pathlib.Path(__file__).parent / "e2e"))
import harness  # noqa: E402

SERVER_CORE, TOOLS_CORE = 0, 1
SERVER_PRIORITY, VENDORS_PRIORITY, CALLEES_PRIORITY = 10, 15, 20
ENDPOINT_MS = 200
CALLER = "+15550100"


@contextlib.contextmanager
def placed(core, priority):
    """What is started inside runs on `core`, before everything of ordinary priority where that is permitted."""
    cores, policy, former = os.sched_getaffinity(0), os.sched_getscheduler(0), os.sched_getparam(0)
    os.sched_setaffinity(0, {core} & cores or cores)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    except PermissionError:
        print("no real-time priority is permitted: neighbours will disturb the figures", file=sys.stderr)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, former)
        os.sched_setaffinity(0, cores)


def free_tcp_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def write_speech(path, seconds=2.5, rate=8000):
    """Something like a sentence: syllables of 140 ms with gaps of 60 ms, far shorter than the end of a turn."""
    dice, samples = random.Random(1), []
    while len(samples) < seconds * rate:
        pitch, loud = dice.uniform(110, 180), dice.uniform(5000, 9000)
        for n in range(int(0.14 * rate)):
            phase = 2 * math.pi * pitch * n / rate
            wave_form = sum(math.sin(k * phase) / k for k in range(1, 12))
            samples.append(int(loud * min(1, n / 80) * wave_form / 2))
        samples += [0] * int(0.06 * rate)
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(struct.pack(f"<{len(samples)}h", *samples))


def vendors(port):
    """Settings; the first line belongs to the section [media], with which the harness ends its own."""
    return f"""
ports = "10000-29999"
[ears.bench]
kind = "deepgram"
url = "ws://127.0.0.1:{port}/v1/listen"
key = "k"
[brain.bench]
kind = "openai"
base_url = "http://127.0.0.1:{port}/v1"
model = "m"
[voice.bench]
kind = "openai"
base_url = "http://127.0.0.1:{port}/v1"
[defaults]
ears = "bench"
brain = "bench"
voice = "bench"
"""


class Vendors:
    """Recogniser, model and synthesiser in one process, which answer at once."""

    def __init__(self, tool, answer_ms):
        self.port = free_tcp_port()
        with placed(TOOLS_CORE, VENDORS_PRIORITY):
            self.process = subprocess.Popen(
                [tool, "--listen", f"127.0.0.1:{self.port}", "--endpoint-ms", str(ENDPOINT_MS),
                 "--answer-ms", str(answer_ms), "--max", "600"])

    def stop(self):
        self.process.kill()
        self.process.wait()


def callees_command(chosen, calls, port, server, speech):
    command = [chosen.rtpload, "uas", "--local", f"127.0.0.1:{port}", "--n", str(calls), "--hold", str(chosen.hold),
               "--ring-ms", "200", "--answer-ms", "400", "--mode", "turns", "--wav", str(speech),
               "--pid", str(server.process.pid), "--cpu", str(SERVER_CORE), "--max", str(chosen.hold + calls / chosen.ramp + 30),
               "--calls-out", str(server.folder / "calls.jsonl"), "--json", str(server.folder / "load.json"), "--quiet"]
    if chosen.callers == "silent":
        return command + ["--lead-ms", "600000", "--turns", "1"]
    return command + ["--wait-greeting", "--turns", str(chosen.turns)]


def place_calls(server, calls, ramp):
    """Places the calls at an even pace over one connection; returns how long each request took, in ms."""
    host = server.addresses["http"]
    line, took, began = http.client.HTTPConnection(host, timeout=20), [], time.monotonic()
    headers = {"Authorization": f"Bearer {harness.KEY_ID}.{harness.KEY_SECRET}", "Content-Type": "application/json"}
    for at in range(calls):
        time.sleep(max(0.0, began + at / ramp - time.monotonic()))
        body = json.dumps({"agent": "desk", "to": f"+1666{at:07}", "from": CALLER})
        asked = time.monotonic()
        line.request("POST", "/v1/calls", body, headers)
        answer = line.getresponse()
        text = answer.read()
        assert answer.status == 202, f"call {at}: {answer.status} {text[:300]}"
        took.append((time.monotonic() - asked) * 1000)
    return sorted(took)


def profile_later(chosen, server, seconds):
    """Samples the server while the calls are up, when asked to."""
    def run():
        time.sleep(seconds)
        subprocess.run(["perf", "record", "-q", "-F", "499", "-g", "-p", str(server.process.pid), "-o", chosen.profile,
                        "--", "sleep", str(min(4, chosen.hold))], check=False)

    if chosen.profile:
        threading.Thread(target=run, daemon=True).start()


def measure(chosen, calls):
    """One step with a fresh server; returns the load generator's report."""
    up_s = calls / chosen.ramp + chosen.hold + 5
    answer_ms = int(max(15, up_s) * 1000) if chosen.callers == "silent" else 1500
    folder = pathlib.Path(tempfile.mkdtemp(prefix="callwright-capacity-"))
    tool = Vendors(chosen.fakeai, answer_ms)
    server = harness.Server(folder, vendors(tool.port))
    load = None
    try:
        with placed(SERVER_CORE, SERVER_PRIORITY):
            server.start()
        write_speech(folder / "speech.wav")
        port = harness.free_udp_port()
        server.must("PUT", "/v1/agents/desk", {
            "name": "Front desk", "language": "en", "opening": {"greeting": {"text": "Hello, how can I help you?"}},
            "brain": {"system_prompt": "You are the front desk."}, "limits": {"max_duration_s": 300, "ring_timeout_s": 30}})
        server.trunk("t1", port)
        server.number(CALLER, "t1", calls)
        with placed(TOOLS_CORE, CALLEES_PRIORITY):
            load = subprocess.Popen(callees_command(chosen, calls, port, server, chosen.wav or folder / "speech.wav"),
                                    stdout=subprocess.DEVNULL)
        time.sleep(0.3)
        profile_later(chosen, server, calls / chosen.ramp + 2.5)
        requests = place_calls(server, calls, chosen.ramp)
        load.wait(up_s + 60)
        report = json.loads((folder / "load.json").read_text())
        report["api_ms"] = {"p50": requests[len(requests) // 2], "p99": requests[int(len(requests) * 0.99)]}
        report["log"] = server.tail() if chosen.verbose else ""
        return report
    except BaseException:
        print(server.tail(), file=sys.stderr)
        raise
    finally:
        if load and load.poll() is None:
            load.kill()
        server.stop()
        tool.stop()
        if chosen.keep:
            print(f"kept {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)


def quantile(distribution, name):
    return distribution[name] if distribution else math.nan


def complaints(chosen, calls, report):
    """Why a step does not pass; empty when it does."""
    found, rtp, counts = [], report["rtp"], report["calls"]
    if counts["answered"] < calls or counts["answered_without_rtp"]:
        found.append(f"{counts['answered']} of {calls} answered, {counts['answered_without_rtp']} without sound")
    if rtp["loss_pct"] >= 0.1:
        found.append(f"loss {rtp['loss_pct']:.3f} %")
    if rtp["late_gt40_pct"] >= (0.1 if chosen.mode == "capacity" else 1e-9):
        found.append(f"late {rtp['late_gt40_pct']:.3f} %")
    # In a conversation a sentence begins at once, up to a packet ahead of the idle cadence, so this says nothing there.
    if chosen.mode == "capacity" and quantile(rtp["lateness_ms"], "p99") >= 20:
        found.append(f"lateness p99 {rtp['lateness_ms']['p99']:.1f} ms")
    if chosen.mode == "response":
        response, turns = report["turns"]["response_ms"], calls * chosen.turns
        if not response or response["n"] < turns or report["turns"]["missed"]:
            found.append(f"{response['n'] if response else 0} of {turns} turns answered")
        elif response["p50"] - ENDPOINT_MS > 3 or response["p95"] - ENDPOINT_MS > 10:
            found.append("own share above 3 ms (p50) or 10 ms (p95)")
    return found


HEADING = ("calls  answered  late>40ms%  pacing p50/p99 ms  late p99 ms  own share p50/p95 ms  200->RTP p50  CPU%  CPU%/call"
           "  RSS kB/call  API p50/p99 ms  steal%  generator late p99")


def row(calls, report):
    rtp, server, response = report["rtp"], report["server"], report["turns"]["response_ms"]
    own = [quantile(response, name) - ENDPOINT_MS for name in ("p50", "p95")]
    pacing = [quantile(rtp["pacing_dev_ms"], name) for name in ("p50", "p99")]
    return (f"{calls:5}  {report['calls']['answered']:8}  {rtp['late_gt40_pct']:10.3f}  {pacing[0]:8.2f} /{pacing[1]:7.2f}"
            f"  {quantile(rtp['lateness_ms'], 'p99'):11.2f}  {own[0]:9.1f} /{own[1]:8.1f}"
            f"  {quantile(report['setup_ms']['ok_to_first_rtp'], 'p50'):12.1f}  {server['cpu_pct']:4.0f}  {server['cpu_pct_per_call']:9.3f}"
            f"  {server['rss_kb_per_call']:11.0f}  {report['api_ms']['p50']:6.1f} /{report['api_ms']['p99']:6.1f}"
            f"  {server['core_steal_pct']:6.1f}  {quantile(report['generator']['tick_late_ms'], 'p99'):18.1f}")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rtpload", required=True, help="the SIP and RTP load generator")
    parser.add_argument("--fakeai", required=True, help="the stand-in for the vendors")
    parser.add_argument("--mode", choices=["response", "capacity"], default="response")
    parser.add_argument("--calls", help="how many at once, such as 50,100,200; stops at the first step that fails")
    parser.add_argument("--callers", choices=["silent", "talking"], help="capacity: silent (the agent talks throughout); response: talking")
    parser.add_argument("--hold", type=float, help="seconds measured with all calls up")
    parser.add_argument("--ramp", type=float, default=40, help="calls placed a second")
    parser.add_argument("--turns", type=int, default=3, help="questions each caller asks")
    parser.add_argument("--wav", help="what callers say: 8 kHz mono, without pauses of 200 ms; default: made up")
    parser.add_argument("--profile", help="write a perf profile of the server to this file")
    parser.add_argument("--json", help="write all reports to this file")
    parser.add_argument("--keep", action="store_true", help="keep the server's folder")
    parser.add_argument("--verbose", action="store_true", help="print the end of the server's log")
    chosen = parser.parse_args()
    response = chosen.mode == "response"
    chosen.calls = [int(n) for n in (chosen.calls or ("10" if response else "50,100,150,200,300,400")).split(",")]
    chosen.callers = chosen.callers or ("talking" if response else "silent")
    chosen.hold = chosen.hold or (40 if response else 5)
    return chosen


def main():
    chosen = arguments()
    print(HEADING)
    reports, passed = {}, []
    for calls in chosen.calls:
        report = reports[calls] = measure(chosen, calls)
        verdict = complaints(chosen, calls, report)
        print(row(calls, report), " ".join(["FAIL:", *verdict]) if verdict else "pass", flush=True)
        if report["log"]:
            print(report["log"])
        if verdict:
            break
        passed.append(calls)
    if chosen.json:
        pathlib.Path(chosen.json).write_text(json.dumps(reports, indent=1))
    print(f"largest step that passed: {max(passed, default=0)} calls")
    return 0 if passed == chosen.calls or (chosen.mode == "capacity" and passed) else 1


if __name__ == "__main__":
    sys.exit(main())
