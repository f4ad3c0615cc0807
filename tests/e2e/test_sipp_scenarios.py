"""Every SIPp trunk scenario, at once: SIPp is the callee, the server the caller. Each must end in its own cause with
nothing leaked."""

import time
import unittest

import harness

# scenario -> (expected causes, sip status or None for any, does SIPp itself judge the whole exchange)
EXPECTED = {
    "100rel-prack.xml": ({"max_duration"}, None, True),
    "183-early-media-then-200-other-sdp.xml": ({"max_duration"}, None, True),
    "302-self.xml": ({"redirected"}, 302, True),
    "401-loop.xml": ({"auth_failed"}, 401, True),
    "401-md5-qop.xml": ({"max_duration"}, None, True),
    "407-sha256-first.xml": ({"max_duration"}, None, True),
    "422-too-small.xml": ({"max_duration"}, None, True),
    "503-retry-after.xml": ({"trunk_failed"}, 503, True),
    "ack-lost.xml": ({"max_duration"}, None, True),
    "bye-481.xml": ({"max_duration"}, None, True),
    "bye-unanswered.xml": ({"max_duration"}, None, False),
    "cancel-ignored.xml": ({"no_answer"}, None, False),
    "final-404.xml": ({"unreachable"}, 404, True),
    "final-486.xml": ({"busy"}, 486, True),
    "final-488.xml": ({"media_refused"}, 488, True),
    "final-500.xml": ({"trunk_failed"}, 500, True),
    "final-603.xml": ({"rejected"}, 603, True),
    "final-retransmitted.xml": ({"busy"}, 486, True),
    "fork-two-200.xml": ({"max_duration"}, None, True),
    "info-dtmf.xml": ({"max_duration"}, None, True),
    "invite-lost-x3.xml": ({"max_duration"}, None, True),
    "no-answer-at-all.xml": ({"no_response"}, None, False),
    "ok-answer-wait-bye.xml": ({"max_duration"}, None, True),
    "options-in-dialog.xml": ({"max_duration"}, None, True),
    "peer-bye-at-once.xml": ({"callee_hung_up"}, None, True),
    "peer-vanishes.xml": ({"media_timeout"}, None, False),
    "refer-busy.xml": ({"max_duration"}, None, True),
    "refer-from-callee.xml": ({"max_duration"}, None, True),
    "refer-refused.xml": ({"max_duration"}, None, True),
    "refer-taken.xml": ({"transferred"}, None, True),
    "reinvite-bad-sdp.xml": ({"max_duration"}, None, True),
    "reinvite-codec-change.xml": ({"max_duration"}, None, True),
    "reinvite-hold-resume.xml": ({"max_duration"}, None, True),
    "ring-forever.xml": ({"no_answer"}, None, True),
    "session-timer-uac-refresh.xml": ({"max_duration"}, None, True),
}
# Scenarios that need another agent than the three-second one.
LIMITS = {
    # Six answers until then, each with its ACK, of which SIPp loses three in ten: one of them must get through.
    "ack-lost.xml": {"max_duration_s": 17, "ring_timeout_s": 10},
    "peer-vanishes.xml": {"max_duration_s": 120, "ring_timeout_s": 10},
    "session-timer-uac-refresh.xml": {"max_duration_s": 52, "ring_timeout_s": 10},
    "no-answer-at-all.xml": {"max_duration_s": 5, "ring_timeout_s": 60},
    "invite-lost-x3.xml": {"max_duration_s": 3, "ring_timeout_s": 20},
    "refer-busy.xml": {"max_duration_s": 25, "ring_timeout_s": 10},
    "refer-refused.xml": {"max_duration_s": 25, "ring_timeout_s": 10},
    "refer-taken.xml": {"max_duration_s": 30, "ring_timeout_s": 10},
    "reinvite-hold-resume.xml": {"max_duration_s": 6, "ring_timeout_s": 10},
    "reinvite-codec-change.xml": {"max_duration_s": 6, "ring_timeout_s": 10},
}
# Calls whose callee is handed over once they stand, and the steps that their journal tells of it.
HANDED_OVER = {
    "refer-busy.xml": ["transferring", "transfer_ended"],
    "refer-refused.xml": ["transferring", "transfer_ended"],
    "refer-taken.xml": ["transferring"],
}
DESK = "+15550209999"
CREDENTIALS = {"username": "alice", "password": "secret"}


# SIPp sends no audio: a scenario that takes longer than the media timeout needs a server with a longer one.
PATIENT = {
    "session-timer-uac-refresh.xml",
    "ack-lost.xml",
    "refer-busy.xml",
    "refer-refused.xml",
    "refer-taken.xml",
}


class Scenarios(unittest.TestCase):
    def test_each_ends_in_its_cause_with_nothing_leaked(self):
        files = {path.name for path in harness.SCENARIOS.glob("*.xml")}
        self.assertLessEqual(set(EXPECTED), files)
        with harness.server() as server, harness.server("timeout_s = 120") as patient:
            # Thirty-five calls at once: none of them is the one that waits for the voice to be loaded.
            for node in (server, patient):
                node.voiced().agent()
            outcomes = harness.in_parallel(
                [lambda at=at, name=name: self.run_one(patient if name in PATIENT else server, at, name)
                 for at, name in enumerate(EXPECTED)]
            )
            wrong = [line for line in outcomes if line]
            self.assertEqual(wrong, [], "\n".join(wrong))
            harness.wait_for("end of every call", lambda: server.metric("callwright_calls_live") == 0, 60)
            harness.wait_for("end of every SIP transaction", lambda: server.metric("callwright_sip_remembered") == 0, 80)
            self.assertEqual(server.metric("callwright_media_legs"), 0)

    def run_one(self, server, at, name):
        causes, status, judged = EXPECTED[name]
        with harness.Sipp(name) as trunk:
            trunk_id, number = f"t{at}", f"+1555010{at:04}"
            # SIPp plays one call: what it refuses is not to be done by a second one.
            server.trunk(trunk_id, trunk.port, **CREDENTIALS, transfer="refer")
            server.number(number, trunk_id)
            overrides = {"limits": LIMITS[name]} if name in LIMITS else {}
            call = server.call(to=f"+1555020{at:04}", **{"from": number}, overrides=overrides)
            if name in HANDED_OVER:
                harness.wait_for("acknowledgement", lambda: "\nACK sip:" in trunk.messages(), 20)
                server.must("POST", f"/v1/calls/{call}/transfer", {"to": DESK, "announcement": "I am connecting you."})
            view = server.ended(call, 90)
            problems = []
            steps = [step["event"] for step in view["timeline"] if step["event"].startswith("transfer")]
            if steps != HANDED_OVER.get(name, []):
                problems.append(f"its transfer went {steps}")
            if view["cause"] not in causes:
                problems.append(f"cause {view['cause']}, expected {causes}")
            if status is not None and view["sip_status"] != status:
                problems.append(f"status {view['sip_status']}, expected {status}")
            if judged:
                verdict = trunk.finished(45)
                if verdict != 0:
                    problems.append(f"SIPp says {verdict}: {trunk.errors()}")
            invites = len({line for line in trunk.messages().splitlines() if line.lower().startswith("call-id:")})
            if invites != 1:
                problems.append(f"{invites} different Call-IDs reached the trunk")
            return f"{name}: {'; '.join(problems)}" if problems else None


if __name__ == "__main__":
    started = time.monotonic()
    unittest.main(verbosity=2, exit=True)
