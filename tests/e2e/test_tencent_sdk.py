"""The vendor's own, unmodified SDKs (Python and Node, mainland and international) place, steer and read real calls to a
SIPp callee, with every kind of signature that they make."""

import base64
import http.server
import itertools
import json
import os
import pathlib
import re
import socket
import subprocess
import threading
import time
import unittest
import urllib.error
import urllib.request

import harness
from test_webhooks import Receiver

HERE = pathlib.Path(__file__).resolve().parent
VENVS = pathlib.Path(os.environ.get("CALLWRIGHT_VENVS", harness.ROOT / ".callwright" / "venvs"))
NODES = pathlib.Path(os.environ.get("CALLWRIGHT_NODES", harness.ROOT / ".callwright" / "node"))
APPLICATION = 1400000000
CALLEE = "008617300000533"


class Sdk(harness.Client):
    """One SDK."""

    def __init__(self, name, server):
        language, region = name.split("-")
        if language == "python":
            command = [VENVS / f"tencent-{region}" / "bin" / "python", HERE / "tencent_client.py"]
        else:
            command = ["node", HERE / "tencent_client.js", region, NODES / f"tencent-{region}"]
        super().__init__(name, command, server, {"SdkAppId": APPLICATION})


class Model:
    """A language model that speaks OpenAI's protocol and always says the same."""

    def __enter__(self):
        asked = self.asked = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                asked.append((self.path, self.headers.get("Authorization"), body))
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.end_headers()
                for delta in [{"content": "Good day "}, {"content": "from the model."}]:
                    self.wfile.write(f'data: {json.dumps({"choices": [{"index": 0, "delta": delta}]})}\n\n'.encode())
                self.wfile.write(b"data: [DONE]\n\n")

            def do_GET(self):
                self.send_error(404)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


STRANGERS = itertools.count(700)
SDKS = ["python-cn", "python-intl", "node-cn", "node-intl"]


def equip(server):
    """An agent, and the numbers by which the SDKs know it and the account."""
    server.agent(limits={"max_duration_s": 30, "ring_timeout_s": 20})
    account = next(i["names"] for i in server.must("GET", "/v1/ids")["ids"]
                   if (i["dialect"], i["kind"]) == ("tencent", "application"))
    for kind, number, names in [("application", str(APPLICATION), account), ("agent", "15", "desk")]:
        server.must("PUT", "/v1/ids", {"dialect": "tencent", "kind": kind, "id": number, "names": names})


class TencentSdk(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.context = harness.server('[webhooks]\nplain_http = "on"\nallow_private = "on"')
        cls.server = cls.context.__enter__()
        equip(cls.server)

    @classmethod
    def tearDownClass(cls):
        cls.context.__exit__(None, None, None)

    def life(self, sdk, caller):
        """Make a call, read it while it lasts, speak into it, hang up, read what is left of it."""
        began = sdk.must("CreateAIAgentCall", {"AIAgentId": 15, "Callee": CALLEE, "Callers": [caller],
                                               "Variables": [{"Key": "name", "Value": "Li"}]})
        session = began["SessionId"]
        self.assertRegex(session, "^[0-9a-f]{32}$")
        self.assertRegex(began["RequestId"], "^[0-9a-f-]{36}$")
        one = {"SessionId": session}
        talking = lambda: sdk.must("DescribeTelSession", one)["Session"]["SessionStatus"] == "inProgress"
        harness.wait_for("conversation", talking)
        shown = sdk.must("DescribeTelSession", one)["Session"]
        self.assertEqual((shown["Callee"], shown["Caller"], shown["Direction"]), (CALLEE, caller, 1))
        live = sdk.must("DescribePSTNActiveSessionList", {"Offset": 0, "Limit": 25})["Sessions"]
        self.assertIn(session, [entry["SessionID"] for entry in live])
        greeted = lambda: self.server.must("GET", f"/v1/calls/{session}")["transcript"]
        harness.wait_for("greeting", greeted)
        sound = base64.b64encode(bytes(6400)).decode()
        sdk.must("ControlAIConversation", {**one, "Command": "ServerPushText", "ServerPushText": {
            "Audio": sound, "Interrupt": False, "DropMode": 1, "AddHistory": False}})
        sdk.must("ControlAIConversation", {**one, "Command": "ServerPushText",
                                           "ServerPushText": {"Text": "One more thing.", "Priority": 1}})
        said = lambda: [line for line in self.server.must("GET", f"/v1/calls/{session}")["transcript"]
                        if "One more thing" in line["text"]]
        harness.wait_for("the pushed text", said)
        sdk.must("HangUpCall", one)
        self.assertEqual(self.server.ended(session)["cause"], "api_hung_up")
        self.assertEqual(sdk.must("DescribeTelSession", one)["Session"]["SessionStatus"], "finished")
        self.records(sdk, session)

    def records(self, sdk, session):
        now = int(time.time())
        window = {"StartTimeStamp": now - 3600, "EndTimeStamp": now + 60}
        page = sdk.must("DescribeTelCdr", {**window, "PageSize": 100, "PageNumber": 0, "SessionIds": [session]})
        self.assertEqual(page["TotalCount"], 1)
        record = page["TelCdrList"][0]
        self.assertEqual((record["SessionId"], record["EndStatus"], record["EndStatusString"]), (session, 1, "ok"))
        self.assertEqual(record["SysHangupReasonString"], "callTerminatedByAPI")
        self.assertEqual(record["AIAgentId"], 15)
        detail = sdk.must("DescribeSessionDetail", {"SessionId": session, "StartTimestamp": now - 3600,
                                                    "EndTimestamp": now + 60})
        self.assertEqual(detail["HungUpSide"], "seat")
        with urllib.request.urlopen(detail["AsrURL"], timeout=10) as answer:
            self.assertIn("front desk", answer.read().decode())
        kept = lambda: sdk.must("DescribeSessionDetail", {"SessionId": session, "StartTimestamp": now - 3600,
                                                          "EndTimestamp": now + 60})["RecordURL"]
        with urllib.request.urlopen(harness.wait_for("recording", kept), timeout=10) as answer:
            self.assertEqual(answer.read(4), b"RIFF")
        with self.assertRaises(urllib.error.HTTPError):
            urllib.request.urlopen(detail["AsrURL"][:-1] + "x", timeout=10)
        lines = sdk.must("DescribeTelRecordAsr", {"SessionId": session})["AsrDataList"]
        self.assertIn("AI", [line["User"] for line in lines])
        if sdk.name != "python-intl" and sdk.name != "node-intl":
            rounds = sdk.must("DescribeAICallInteractionRecords", {"SessionId": session})["InteractionEventList"]
            self.assertIn("front desk", rounds[0]["Messages"][0]["AISpeak"]["SpokenText"])
        latency = sdk.must("DescribeAILatency", {"SessionId": session, "StartTime": now - 3600, "EndTime": now + 60})
        self.assertIn("AILatencyStatistics", latency)

    def test_each_sdk_with_a_sipp_callee(self):
        for at, name in enumerate(SDKS):
            with self.subTest(name), harness.Sipp("ok-answer-wait-bye.xml") as trunk, Sdk(name, self.server) as sdk:
                self.server.trunk(f"sipp{at}", trunk.port)
                self.server.number(f"+861830000033{at}", f"sipp{at}")
                self.life(sdk, f"00861830000033{at}")
                self.assertEqual(trunk.finished(), 0, trunk.errors())

    def test_a_call_and_its_recording_are_pushed(self):
        """The data pushes of a call that an SDK made say what the SDK reads of it."""
        receiver = Receiver(words=b'{"ErrCode": 0, "ErrMsg": ""}')
        made = self.server.must("POST", "/v1/webhooks", {"dialect": "tencent", "url": receiver.url,
                                                         "headers": {"Authorization": "Basic dXNlcjpwYXNz"}})
        try:
            with harness.Sipp("ok-answer-wait-bye.xml") as trunk, Sdk(SDKS[0], self.server) as sdk:
                self.server.trunk("pushed", trunk.port)
                self.server.number("+8618300000339", "pushed")
                began = int(time.time())
                session = sdk.must("CreateAIAgentCall", {"AIAgentId": 15, "Callee": CALLEE, "Callers": ["008618300000339"]})["SessionId"]
                harness.wait_for("greeting", lambda: self.server.must("GET", f"/v1/calls/{session}")["transcript"])
                sdk.must("HangUpCall", {"SessionId": session})

                def pushed():
                    told = [(headers, json.loads(body)) for headers, body in receiver.got]
                    return [(headers, body) for headers, body in told if body["SessionId"] == session]

                harness.wait_for("both pushes", lambda: len(pushed()) == 2)
                page = sdk.must("DescribeTelCdr", {"StartTimeStamp": began - 60, "EndTimeStamp": began + 600, "PageSize": 10,
                                                   "PageNumber": 0, "SessionIds": [session]})["TelCdrList"][0]
                (cdr_headers, cdr), (_, record) = sorted(pushed(), key=lambda one: "RecordId" in one[1])
                self.assertEqual(cdr_headers["authorization"], "Basic dXNlcjpwYXNz")
                self.assertRegex(cdr_headers["x-tccc-push-uuid"], "^[0-9a-f-]{36}$")
                self.assertEqual((cdr["Caller"], cdr["Callee"]), (page["Caller"], page["Callee"]))
                for name in ("Duration", "EndStatus", "EndStatusString", "HungUpSide"):
                    self.assertEqual(cdr[name], page.get(name, cdr[name]), name)
                with urllib.request.urlopen(record["RecordURL"], timeout=10) as answer:
                    self.assertEqual(answer.read(4), b"RIFF")
                self.assertEqual(len(pushed()), 2, "a yes is not asked for again")
                self.assertEqual(trunk.finished(), 0, trunk.errors())
        finally:
            self.server.must("DELETE", f"/v1/webhooks/{made['id']}")
            receiver.close()

    def test_an_agent_written_out_talks_with_its_own_model(self):
        for at, name in enumerate(["python-cn", "node-intl"]):
            with self.subTest(name), harness.Sipp("ok-answer-wait-bye.xml") as trunk, Sdk(name, self.server) as sdk, \
                    Model() as model:
                self.server.trunk(f"own{at}", trunk.port)
                self.server.number(f"+861830000034{at}", f"own{at}")
                began = sdk.must("CreateAICall", {
                    "Callee": CALLEE, "Callers": [f"00861830000034{at}"], "LLMType": "OpenAI", "APIKey": "sk-mine",
                    "APIUrl": model.url, "Model": "small", "SystemPrompt": "You call ${name}.", "WelcomeType": 1,
                    "WelcomeMessage": "Greet ${name}.", "Languages": ["en"], "Temperature": 0.1, "TopP": 0.8,
                    "LLMExtraBody": "{\"seed\":7}", "VoiceType": "WeRose", "EnableComplianceAudio": True,
                    "Variables": [{"Key": "name", "Value": "Li"}]})
                said = lambda: [line for line in self.server.must("GET", f"/v1/calls/{began['SessionId']}")["transcript"]
                                if "from the model" in line["text"]]
                harness.wait_for("the model's greeting", said)
                sdk.must("HangUpCall", {"SessionId": began["SessionId"]})
                path, key, body = model.asked[0]
                self.assertEqual((path, key), ("/v1/chat/completions", "Bearer sk-mine"))
                self.assertEqual((body["model"], body["temperature"], body["top_p"], body["seed"]), ("small", 0.1, 0.8, 7))
                self.assertEqual([message["content"] for message in body["messages"]], ["You call Li.", "Greet Li."])
                self.assertEqual(trunk.finished(), 0, trunk.errors())

    def test_an_agent_file_of_the_vendors_is_pushed_and_called_by_its_number(self):
        file = self.server.folder / "vendor.json"
        file.write_text(json.dumps({"AIAgentName": "Pushed", "LLMType": "openai", "APIKey": "k", "WelcomeMessage": "Hi.",
                                    "APIUrl": "http://127.0.0.1:9009/v1"}))
        server = ["--server", self.server.url, "--key", f"{harness.KEY_ID}.{harness.KEY_SECRET}"]
        push = [harness.BINARY, "agents", "push", file, "--shape", "tencent", "--id", "pushed", *server]
        subprocess.run([str(part) for part in push], check=True, capture_output=True, timeout=30)
        ids = subprocess.run([str(harness.BINARY), "ids", *server], check=True, capture_output=True, text=True, timeout=30)
        self.assertRegex(ids.stdout, r"tencent +agent +16 +pushed")
        shown = self.server.must("GET", "/v1/agents/pushed")
        self.assertEqual((shown["name"], shown["brain"]["endpoint"]["key"]), ("Pushed", ""))
        self.server.must("DELETE", "/v1/agents/pushed")

    def test_every_signature_that_the_sdks_make(self):
        for name in SDKS:
            with Sdk(name, self.server) as sdk:
                variants = [{}, {"sign": "HmacSHA1"}, {"sign": "HmacSHA256"}, {"method": "GET"},
                            {"method": "GET", "sign": "HmacSHA1"}, {"method": "GET", "sign": "HmacSHA256"}]
                if name.startswith("python"):
                    variants.append({"unsigned": True})
                for variant in variants:
                    with self.subTest(sdk=name, **variant):
                        time.sleep(0.06)
                        agents = sdk.must("DescribeAIAgentInfoList", {"PageSize": 10, "PageNumber": 0}, **variant)
                        self.assertEqual(agents["TotalCount"], 1)
                        self.assertEqual(agents["AIAgentInfoList"][0]["AIAgentId"], 15)
                        refused = sdk.ask("DescribeAIAgentInfoList", {"PageSize": 10, "PageNumber": 0},
                                          **{**variant, "key": "wrong"})
                        self.assertEqual(refused.get("code"), "AuthFailure.SignatureFailure", refused)

    def test_mistakes_come_as_the_vendors_errors(self):
        good = {"AIAgentId": 15, "Callee": CALLEE}
        for name in SDKS:
            with Sdk(name, self.server) as sdk:
                for parameters, more, code in [
                    ({**good, "SdkAppId": 1}, {}, "InvalidParameterValue.InstanceNotExist"),
                    ({**good, "AIAgentId": 99}, {}, "InvalidParameterValue"),
                    ({**good, "Callee": "x"}, {}, "InvalidParameterValue"),
                    ({"AIAgentId": 15}, {}, "MissingParameter"),
                    ({**good, "Callers": ["008613900000000"]}, {}, "FailedOperation.NoCallOutNumber"),
                    (good, {"id": "nobody"}, "AuthFailure.SecretIdNotFound"),
                ]:
                    with self.subTest(sdk=name, code=code):
                        outcome = sdk.ask("CreateAIAgentCall", parameters, **more)
                        self.assertEqual(outcome.get("code"), code, outcome)
                        self.assertTrue(re.fullmatch("[0-9a-f-]{36}", outcome.get("request") or ""), outcome)

    def test_rules_come_as_the_vendors_errors(self):
        # Calls that were accepted stay: nobody answers there, and nobody refuses.
        silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(silent.close)
        silent.bind(("127.0.0.1", 0))
        self.trunk = {"host": "127.0.0.1", "port": silent.getsockname()[1]}
        self.server.trunk("rules", self.trunk["port"])
        for number in ["+8618300000350", "+8618300000351"]:
            self.server.number(number, "rules")
        good = {"AIAgentId": 15, "Callee": CALLEE, "Callers": ["008618300000350"]}
        days = [time.strftime("%Y-%m-%d", time.gmtime(time.time() + day * 86400)) for day in (-1, 0, 1)]
        hours = {"status": "on", "zone": "UTC", "holidays": days, "windows": [{"from": "00:00", "to": "24:00"}]}
        few = {"status": "on", "at_most": [{"calls": 1, "seconds": 300}]}
        with Sdk("python-cn", self.server) as sdk:
            for rules, more, code in [
                ({"regions": {"status": "on", "blocked": ["+86173"]}}, {}, "FailedOperation.CalloutRuleBlindArea"),
                ({"hours": hours}, {}, "FailedOperation.CalloutRuleNotWorkTime"),
                ({"consent": {"status": "on"}}, {}, "OperationDenied.NotInWhiteList"),
                ({"quota": {"status": "on", "ends": "2020-01-01"}}, {}, "LimitExceeded.BasePackageExpired"),
                ({}, {"Callee": "110"}, "FailedOperation.CalleeIsLimited"),
                ({}, {"denied": True}, "FailedOperation.CalleeIsBlackUser"),
                ({"callee": few}, {"times": 2}, "FailedOperation.CalloutRuleMaxCallCountCalleeIntervalTime"),
                ({"callee": {"status": "on", "per_day": 1}}, {"times": 2},
                 "FailedOperation.CalloutRuleMaxCallCountCalleePerDayAppID"),
                ({"caller": few}, {"times": 2, "Callers": ["008618300000351"]}, "FailedOperation.CallerOverFrequency"),
                ({}, {"dark": True}, "FailedOperation.CallOutFailed"),
            ]:
                with self.subTest(code):
                    self.assertEqual(self.refused_by(sdk, rules, {**good, **more}), code)
            reads = self.server.must("POST", "/v1/keys", {"name": "reader", "scopes": ["config_read"]})
            outcome = sdk.ask("CreateAIAgentCall", good, id=reads["id"], key=reads["secret"])
            self.assertEqual(outcome.get("code"), "FailedOperation.PermissionDenied", outcome)

    def refused_by(self, sdk, rules, parameters):
        """The code of the last of `times` requests under these rules."""
        denied, trunk = "/v1/denied/+8617300000533", "/v1/trunks/rules"
        # A callee whom no other rule has seen.
        callee = f"00861730{next(STRANGERS):07}"
        times = parameters.pop("times", 1)
        if times > 1:
            parameters["Callee"] = callee
        self.server.must("PUT", "/v1/rules", rules)
        if parameters.pop("denied", False):
            self.server.must("PUT", denied, {"reason": "complained"})
        if dark := parameters.pop("dark", False):
            self.server.must("PUT", trunk, {**self.trunk, "enabled": "off"})
        try:
            # Equal bytes within one second would be the same request again.
            outcomes = [sdk.ask("CreateAIAgentCall", {**parameters, "MaxRingTimeoutSecond": 20 + at}) for at in range(times)]
        finally:
            self.server.api("DELETE", denied)
            self.server.must("PUT", "/v1/rules", {})
            if dark:
                self.server.must("PUT", trunk, self.trunk)
        self.assertEqual([outcome.get("code") for outcome in outcomes[:-1]], [None] * (times - 1), outcomes)
        return outcomes[-1].get("code")

    def test_what_is_used_up_comes_as_the_vendors_errors(self):
        silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(silent.close)
        silent.bind(("127.0.0.1", 0))
        # A server of its own: what calls of other tests have used would count.
        with harness.server() as server, harness.Sipp("ok-answer-wait-bye.xml") as trunk, Sdk("python-cn", server) as sdk:
            equip(server)
            ringing = itertools.count(20)

            def ask(**more):
                # Equal bytes within one second would be the same request again.
                asked = {"AIAgentId": 15, "Callee": CALLEE, "MaxRingTimeoutSecond": next(ringing), **more}
                return sdk.ask("CreateAIAgentCall", asked).get("code")

            server.trunk("t", trunk.port)
            server.number("+8618300000370", "t")
            # One of the account's currency a second: the day's two are two seconds of talking, and no call has more.
            rates = [{"prefix": "+86", "micros_per_minute": 60_000_000}]
            quota = {"quota": {"status": "on", "cost_per_day": 2, "rates": rates}}
            server.must("PUT", "/v1/rules", quota)
            self.assertIsNone(ask(), "nothing is used yet")
            call = server.must("GET", "/v1/calls")["calls"][0]["id"]
            self.assertEqual(server.ended(call)["cause"], "max_duration")
            server.trunk("t", silent.getsockname()[1])
            self.assertEqual(ask(), "LimitExceeded.BasePackageExpired")
            server.must("PUT", "/v1/rules", {"account": {"status": "on", "at_most": [{"calls": 1, "seconds": 3600}]}})
            self.assertEqual(ask(), "FailedOperation.AIConcurrentOverFrequency")
            server.must("PUT", "/v1/rules", {})
            server.must("PUT", "/v1/agents/desk/rules", {"agent_calls": 1})
            self.assertIsNone(ask(), "the agent's only place")
            self.assertEqual(ask(AcquireTimeoutSecond=0), "FailedOperation.AcquireQuota")

    def test_a_database_that_does_not_answer_is_an_internal_error(self):
        with harness.Postgres() as database, harness.nodes(database, ["a"]) as (server,):
            server.start()
            equip(server)
            server.trunk("t", 9)
            server.number("+8618300000380", "t")
            start = {"AIAgentId": 15, "Callee": CALLEE}
            for at, name in enumerate(SDKS):
                with self.subTest(name), Sdk(name, server) as sdk:
                    database.pause()
                    try:
                        for action, asked in [("CreateAIAgentCall", {**start, "MaxRingTimeoutSecond": 20 + at}),
                                              ("DescribeNumbers", {"PageNumber": 0, "PageSize": 10 + at})]:
                            outcome = sdk.ask(action, asked)
                            self.assertEqual(outcome.get("code"), "InternalError", outcome)
                            self.assertTrue(re.fullmatch("[0-9a-f-]{36}", outcome.get("request") or ""), outcome)
                    finally:
                        database.resume()
                    ringing = itertools.count(100 * at + 100)
                    again = lambda: "ok" in sdk.ask("CreateAIAgentCall", {**start, "MaxRingTimeoutSecond": next(ringing)})
                    harness.wait_for("accepted calls", again)

    def test_a_task_is_made_read_and_stopped(self):
        self.server.trunk("tasks", 9)
        self.server.number("+8618300000360", "tasks")
        now = int(time.time())
        wanted = {"NotBefore": now + 3600, "Callees": ["008617300000361", "008617300000362"], "AIAgentId": 15,
                  "Callers": ["008618300000360"], "Tries": 2, "RetryInterval": 600,
                  "AvailableTime": [{"StartTime": "09:00:00", "EndTime": "21:00:00"}]}
        for name in SDKS:
            with self.subTest(name), Sdk(name, self.server) as sdk:
                # A name of its own: the same task from two clients within one second is one signature, a replay (S31).
                task = sdk.must("CreateAutoCalloutTask", {**wanted, "Name": f"spring {name}"})["TaskId"]
                shown = sdk.must("DescribeAutoCalloutTask", {"TaskId": task})
                self.assertEqual((shown["Name"], shown["State"], len(shown["Callees"])), (f"spring {name}", 0, 2))
                sdk.must("PauseAutoCalloutTask", {"TaskId": task})
                sdk.must("ResumeAutoCalloutTask", {"TaskId": task})
                sdk.must("StopAutoCalloutTask", {"TaskId": task})
                listed = sdk.must("DescribeAutoCalloutTasks", {"PageSize": 10, "PageNumber": 0})
                self.assertIn(task, [one["TaskId"] for one in listed["Tasks"]])

    def test_the_rate_is_twenty_a_second(self):
        codes, until = [], time.monotonic() + 10

        def ask_on():
            # Several at once: on a busy machine one client alone may never be so quick.
            with Sdk("python-cn", self.server) as sdk:
                while time.monotonic() < until and "RequestLimitExceeded" not in codes:
                    codes.append(sdk.ask("DescribeNumbers", {}).get("code"))

        harness.in_parallel([ask_on] * 3)
        self.assertIn("RequestLimitExceeded", codes, f"{len(codes)} requests")
        self.assertGreaterEqual(len([code for code in codes if code != "RequestLimitExceeded"]), 20)


if __name__ == "__main__":
    unittest.main(verbosity=2)
