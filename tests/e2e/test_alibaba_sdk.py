"""The vendor's own, unmodified SDKs place, describe and stop real calls and have them told: two versions of the Python SDK and
the two generic Node clients, against a SIPp and a baresip callee."""

import array
import base64
import contextlib
import functools
import hashlib
import http.server
import io
import json
import os
import pathlib
import subprocess
import tempfile
import threading
import time
import unittest
import wave

import harness
from test_webhooks import LOOSE, Receiver

ENVIRONMENTS = pathlib.Path(os.environ.get("CALLWRIGHT_VENVS", harness.ROOT / ".callwright" / "venvs"))
NODES = pathlib.Path(os.environ.get("CALLWRIGHT_NODES", harness.ROOT / ".callwright" / "node"))
VERSIONS = ["6.20.2", "6.4.3"]
NODE_CLIENTS = ["openapi", "pop"]
# This version's classes have no such member and drop it.
WITHOUT_CALL_INFO = {"6.4.3"}

CLIENT = r"""
import json, sys
from alibabacloud_ice20201109.client import Client
from alibabacloud_ice20201109 import models
from alibabacloud_tea_openapi.models import Config

order = json.loads(sys.stdin.read())
client = Client(Config(endpoint=order["endpoint"], protocol="http", access_key_id=order["ak"],
                       access_key_secret=order["secret"]))
def outcome(action):
    try:
        return {"ok": action().body.to_map()}
    except Exception as error:
        return {"code": getattr(error, "code", None), "status": getattr(error, "status_code", None),
                "message": str(error), "data": getattr(error, "data", None)}
def start():
    settings = models.AIAgentOutboundCallConfig(greeting=order.get("greeting"))
    return client.start_aiagent_outbound_call(models.StartAIAgentOutboundCallRequest(
        aiagent_id=order["agent"], caller_number=order["caller"], called_number=order["callee"],
        config=settings if order.get("greeting") else None, user_data=order.get("user_data")))
def describe():
    return client.describe_aiagent_instance(models.DescribeAIAgentInstanceRequest(instance_id=order["instance"]))
def stop():
    return client.stop_aiagent_instance(models.StopAIAgentInstanceRequest(instance_id=order["instance"]))
def set_notify():
    return client.set_notify_config(models.SetNotifyConfigRequest(aiagent_id=order["agent"], **order["settings"]))
def describe_notify():
    return client.describe_notify_config(models.DescribeNotifyConfigRequest(aiagent_id=order["agent"]))
def generate():
    return client.generate_aiagent_call(models.GenerateAIAgentCallRequest(
        aiagent_id=order["agent"], user_id=order["user"], expire=600, user_data='{"order": 7}',
        agent_config=models.AIAgentConfig(greeting="Hello.", user_online_timeout=45)))
def join():
    place = models.AIAgentRuntimeConfigVoiceChat(**order["place"]) if hasattr(models, "AIAgentRuntimeConfigVoiceChat") else None
    runtime = models.AIAgentRuntimeConfig(voice_chat=place) if place else models.AIAgentRuntimeConfig(**order["place"])
    return client.start_aiagent_instance(models.StartAIAgentInstanceRequest(
        aiagent_id=order["agent"], runtime_config=runtime, agent_config=models.AIAgentConfig(greeting="Hello.")))
def message():
    return client.send_aiagent_data_channel_message(models.SendAIAgentDataChannelMessageRequest(
        instance_id=order["instance"], message="{}"))
def sibling():
    return getattr(client, order["method"])(getattr(models, order["request"] + "Request")().from_map(order["values"]))
actions = {"sibling": sibling, "generate": generate, "join": join, "message": message, "start": start, "describe": describe, "stop": stop, "set_notify": set_notify, "describe_notify": describe_notify}
print(json.dumps(outcome(actions[order["do"]])))
"""


def signature(app, channel, user, nonce, ends):
    """What the vendor signs a channel token with."""
    text = f"{app['app_id']}{app['app_key']}{channel}{user}{nonce}{ends}"
    return hashlib.sha256(text.encode()).hexdigest()


class Sdk:
    """One version of the SDK, asked for one action at a time."""

    def __init__(self, version, server):
        self.python = ENVIRONMENTS / f"alibaba-{version}" / "bin" / "python"
        self.common = {"endpoint": server.addresses["http"], "ak": harness.KEY_ID, "secret": harness.KEY_SECRET}

    def sibling(self, method, request, **values):
        """Another operation, by its names in the SDK, with the vendor's parameters."""
        answer = self.ask(do="sibling", method=method, request=request, values=values)
        return answer["ok"] if "ok" in answer else answer

    def ask(self, **order):
        done = subprocess.run([self.python, "-c", CLIENT], input=json.dumps({**self.common, **order}),
                              capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise AssertionError(done.stderr[-2000:])
        return json.loads(done.stdout)


def node_client(name, server):
    """One of the generic Node clients."""
    script = pathlib.Path(__file__).resolve().parent / "alibaba_client.js"
    return harness.Client(name, ["node", script, name, NODES / f"alibaba-{name}"], server)


class Baresip:
    """A softphone that answers by itself and plays a recorded sentence."""

    def __init__(self):
        self.port = harness.free_udp_port()
        self.folder = tempfile.mkdtemp(prefix="callwright-baresip-")
        folder = pathlib.Path(self.folder)
        (folder / "config").write_text(
            f"sip_listen 127.0.0.1:{self.port}\naudio_source aufile,{folder}/says.wav\nsnd_path {folder}\n"
            "module_path /usr/lib/baresip/modules\nmodule g711.so\nmodule aufile.so\nmodule sndfile.so\n"
            "module_app account.so\nmodule_app menu.so\nmodule_tmp uuid.so\n")
        (folder / "accounts").write_text(
            f"<sip:+8617300000533@127.0.0.1:{self.port}>;regint=0;answermode=auto;audio_codecs=PCMU\n")
        (folder / "contacts").write_text("")
        with wave.open(str(folder / "says.wav"), "wb") as says:
            says.setparams((1, 2, 8000, 0, "NONE", ""))
            says.writeframes(bytes(16000 * 30))
        self.log = open(folder / "log", "wb")
        self.process = subprocess.Popen(["baresip", "-s", "-f", self.folder], stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=self.log)

    def text(self):
        return (pathlib.Path(self.folder) / "log").read_text(errors="replace")

    def __enter__(self):
        harness.wait_for("baresip", lambda: "ready" in self.text().lower() or self.process.poll() is not None)
        if self.process.poll() is not None:
            raise AssertionError(f"baresip ended: {self.text()[-2000:]}")
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


@contextlib.contextmanager
def files():
    """A server of the sounds that the tests of the code have, too."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Handler, directory=str(harness.ROOT / "crates/media/tests/fixtures"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class AlibabaSdk(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.context = harness.server(LOOSE + '\n[webrtc]\nlisten = "127.0.0.1:0"\n')
        cls.server = cls.context.__enter__()
        cls.server.agent(limits={"max_duration_s": 30, "ring_timeout_s": 20})

    @classmethod
    def tearDownClass(cls):
        cls.context.__exit__(None, None, None)

    def browser_calls(self, version):
        """Both ways to a call in a browser, as far as no browser is needed: the token is the vendor's, and checks."""
        sdk = Sdk(version, self.server)
        app = self.server.must("GET", "/v1/channel-app")
        made = sdk.ask(do="generate", agent="desk", user="user123")
        self.assertIn("ok", made, made)
        made = made["ok"]
        self.assertEqual(set(made), {"InstanceId", "ChannelId", "AIAgentUserId", "UserId", "Token", "RequestId"})
        token = json.loads(base64.b64decode(made["Token"], validate=True))
        self.assertEqual(set(token), {"appid", "channelid", "userid", "nonce", "timestamp", "token"})
        self.assertEqual((token["appid"], token["channelid"], token["userid"]),
                         (app["app_id"], made["ChannelId"], "user123"))
        self.assertEqual(token["token"], signature(app, token["channelid"], "user123", token["nonce"], token["timestamp"]))
        self.assertAlmostEqual(token["timestamp"], time.time() + 600, delta=60)
        shown = sdk.ask(do="describe", instance=made["InstanceId"])["ok"]["Instance"]
        self.assertEqual(shown["Status"], "Created")
        self.assertEqual(sdk.ask(do="message", instance=made["InstanceId"])["code"], "InvalidStatus.Instance")
        self.assertIn("ok", sdk.ask(do="stop", instance=made["InstanceId"]))

        channel, ends = f"room-{version.replace('.', '-')}", int(time.time()) + 600
        token = {"appid": app["app_id"], "channelid": channel, "userid": "bot", "nonce": "", "timestamp": ends,
                 "token": signature(app, channel, "bot", "", ends)}
        good = base64.b64encode(json.dumps(token).encode()).decode()
        place = {"channel_id": channel, "agent_user_id": "bot", "auth_token": good}
        refused = sdk.ask(do="join", agent="desk", place={**place, "agent_user_id": "other"})
        self.assertEqual(refused["code"], "InvalidParameter.RuntimeConfig")
        joined = sdk.ask(do="join", agent="desk", place=place)
        self.assertEqual(set(joined["ok"]), {"InstanceId", "RequestId"})
        self.assertIn("ok", sdk.ask(do="stop", instance=joined["ok"]["InstanceId"]))

    def test_calls_in_browsers(self):
        for version in VERSIONS:
            with self.subTest(version):
                self.browser_calls(version)

    def life(self, version, caller):
        """Start, describe while talking, stop, describe after."""
        sdk = Sdk(version, self.server)
        began = sdk.ask(do="start", agent="desk", caller=caller, callee="+8617300000533", greeting="Hello from the SDK.",
                        user_data='{"order": 7}')
        self.assertIn("ok", began, began)
        self.assertEqual(set(began["ok"]), {"InstanceId", "RequestId"})
        instance = began["ok"]["InstanceId"]
        self.assertRegex(instance, "^[0-9a-f]{32}$")
        harness.wait_for("conversation", lambda: self.server.must("GET", f"/v1/calls/{instance}")["status"] == "talking")
        talking = sdk.ask(do="describe", instance=instance)["ok"]["Instance"]
        self.assertEqual(talking["Status"], "Executing")
        self.assertEqual(talking["UserData"], '{"order": 7}')
        if version not in WITHOUT_CALL_INFO:
            self.assertEqual(talking["CallInfo"]["CalleeNumber"], "+8617300000533")
            self.assertEqual(talking["CallInfo"]["Status"], "3")
        self.assertEqual(talking["AgentConfig"]["Greeting"], "Hello from the SDK.")
        harness.wait_for("greeting", lambda: [line for line in self.server.must("GET", f"/v1/calls/{instance}")["transcript"]
                                              if line["text"].startswith("Hello from the SDK")])
        self.assertIn("ok", sdk.ask(do="stop", instance=instance))
        self.assertEqual(self.server.ended(instance)["cause"], "api_hung_up")
        after = sdk.ask(do="describe", instance=instance)["ok"]["Instance"]
        self.assertEqual(after["Status"], "Finished")
        if version not in WITHOUT_CALL_INFO:
            self.assertEqual(after["CallInfo"]["Status"], "4")
        self.assertIn("ok", sdk.ask(do="stop", instance=instance), "stopping twice is no error")

    def siblings(self, version, caller):
        """The operations around a call: its agent's instances, its words, its dialogues, and written messages."""
        sdk, session = Sdk(version, self.server), f"session{version.replace('.', '')}"
        listed = sdk.sibling("list_aiagent_phone_number", "ListAIAgentPhoneNumber", Number=caller)
        self.assertEqual([(one["PhoneNumber"], one["Status"]) for one in listed["Data"]], [(caller, 2)], listed)
        made = sdk.sibling("start_aiagent_outbound_call", "StartAIAgentOutboundCall", AIAgentId="desk", CallerNumber=caller,
                           CalledNumber="+8617300000533", SessionId=session)
        one = {"InstanceId": made["InstanceId"]}

        def dialogues():
            now = int(time.time() * 1000)
            found = sdk.sibling("list_aiagent_dialogues", "ListAIAgentDialogues", SessionId=session, Order="ASC",
                                StartTime=now - 600_000, EndTime=now + 600_000)
            return [(said["Producer"], said["Type"], said["Text"]) for said in found["Dialogues"]], found["Dialogues"]

        harness.wait_for("greeting", lambda: len(dialogues()[0]) == 1, 30)
        running = sdk.sibling("list_aiagent_instance", "ListAIAgentInstance", AIAgentId="desk")
        self.assertTrue(any(shown["Status"] == "Executing" for shown in running["Instances"]), running)
        if version not in WITHOUT_CALL_INFO:
            self.assertEqual(sdk.sibling("get_aiagent_concurrency", "GetAIAgentConcurrency", AIAgentId="desk")["ActiveCount"], 1)
            refused = sdk.sibling("forward_aiagent_call", "ForwardAIAgentCall", CalledNumber="110", **one)
            self.assertEqual(refused["code"], "InvalidParameter.CalledNumber", refused)
        self.assertIn("RequestId", sdk.sibling("update_aiagent_instance", "UpdateAIAgentInstance", UserData="changed", **one))
        self.assertEqual(sdk.ask(do="describe", instance=one["InstanceId"])["ok"]["Instance"]["UserData"], "changed")
        self.assertIn("RequestId", sdk.sibling("send_aiagent_speech", "SendAIAgentSpeech", Text="One moment, please.", **one))
        harness.wait_for("the words", lambda: len(dialogues()[0]) == 2, 30)
        self.assertIn("RequestId", sdk.sibling("send_aiagent_text", "SendAIAgentText", Text="When are you open?", **one))
        harness.wait_for("the answer", lambda: len(dialogues()[0]) == 4 and "nine to five" in dialogues()[0][3][2], 30)
        self.assertIn("ok", sdk.ask(do="stop", instance=one["InstanceId"]))
        self.server.ended(one["InstanceId"])
        said, whole = dialogues()
        self.assertEqual(said, [
            ("agent", "greeting", harness.AGENT["opening"]["greeting"]["text"]), ("agent", "speech", "One moment, please."),
            ("user", "normal", "When are you open?"), ("agent", "normal", harness.AGENT["brain"]["script"][1]["say"])])
        gone = {"SessionId": session, "DialogueId": whole[1]["DialogueId"]}
        self.assertIn("RequestId", sdk.sibling("delete_aiagent_dialogue", "DeleteAIAgentDialogue", **gone))
        self.assertEqual(dialogues()[0], said[:1] + said[2:])
        token = sdk.sibling("generate_message_chat_token", "GenerateMessageChatToken", AIAgentId="desk", UserId="ann", Expire=600)
        self.assertTrue(token["Token"] and token["AppSign"], token)
        written = sdk.sibling("send_message_chat_text", "SendMessageChatText", AIAgentId="desk", SessionId=session,
                              ReceiverId="ann", Text="Your parcel is here.", Type="announcement")
        self.assertIn("RequestId", written, written)
        self.assertEqual(dialogues()[0][-1], ("agent", "announcement", "Your parcel is here."))

    def each_version(self, trunk_name, caller, life):
        for at, version in enumerate(VERSIONS):
            with self.subTest(version), harness.Sipp("ok-answer-wait-bye.xml") as trunk:
                self.server.trunk(f"{trunk_name}{at}", trunk.port)
                self.server.number(f"{caller}{at}", f"{trunk_name}{at}")
                life(version, f"{caller}{at}")
                self.assertEqual(trunk.finished(), 0, trunk.errors())

    def test_the_operations_around_a_call(self):
        self.each_version("around", "+861830000037", self.siblings)

    def test_each_version_with_a_sipp_callee(self):
        self.each_version("sipp", "+861830000033", self.life)

    def test_each_node_client_with_a_sipp_callee(self):
        for at, name in enumerate(NODE_CLIENTS):
            with self.subTest(name), harness.Sipp("ok-answer-wait-bye.xml") as trunk, node_client(name, self.server) as client:
                self.server.trunk(f"node{at}", trunk.port)
                caller = f"+861830000035{at}"
                self.server.number(caller, f"node{at}")
                began = client.must("StartAIAgentOutboundCall", {
                    "AIAgentId": "desk", "CallerNumber": caller, "CalledNumber": "+8617300000533", "UserData": '{"order": 7}',
                    "Config": {"Greeting": "你好 + hello from Node.", "MaxIdleTime": 60}})
                one = {"InstanceId": began["InstanceId"]}
                self.assertRegex(began["RequestId"], "^[0-9A-F-]{36}$")
                talking = lambda: client.must("DescribeAIAgentInstance", one)["Instance"]["Status"] == "Executing"
                harness.wait_for("conversation", talking)
                shown = client.must("DescribeAIAgentInstance", one)["Instance"]
                self.assertEqual(shown["AgentConfig"], {"Greeting": "你好 + hello from Node.", "MaxIdleTime": 60})
                self.assertEqual((shown["UserData"], shown["CallInfo"]["Status"]), ('{"order": 7}', "3"))
                client.must("SendAIAgentSpeech", {**one, "Text": "One moment, please."})
                with files() as base:
                    played = {**one, "Type": "AudioUrl", "EnableInterrupt": False}
                    client.must("SendAIAgentSpeech", {**played, "Text": f"{base}/tone.mp3"})
                    refused = client.ask("SendAIAgentSpeech", {**played, "Text": f"{base}/none.mp3"})
                    self.assertEqual(refused["code"], "InvalidParameter.Text", refused)
                taken = client.must("TakeoverAIAgentCall", {**one, "RequireToken": True})
                self.assertEqual((taken["ChannelId"], bool(taken["HumanAgentUserId"]), bool(taken["Token"])), (began["InstanceId"], True, True))
                client.must("StopAIAgentInstance", one)
                self.server.ended(began["InstanceId"])
                self.assertEqual(client.must("DescribeAIAgentInstance", one)["Instance"]["Status"], "Finished")
                self.assertEqual(client.ask("DescribeAIAgentInstance", one, key="wrong")["code"], "SignatureDoesNotMatch")
                self.assertEqual(client.ask("DescribeAIAgentInstance", {"InstanceId": "0" * 32})["code"], "InstanceNotFound")
                self.assertEqual(trunk.finished(), 0, trunk.errors())

    def test_what_generic_clients_send_elsewhere(self):
        """Parameters in the body, older signatures, GET."""
        for name, variant in [("openapi", {"place": "body"}), ("openapi", {"place": "body", "reqBodyType": "json"}),
                              ("openapi", {"sign": "v2"}), ("openapi", {"sign": "v2", "place": "body"}), ("pop", {"method": "GET"})]:
            with self.subTest(name, **variant), node_client(name, self.server) as client:
                outcome = client.ask("DescribeAIAgentInstance", {"InstanceId": "0" * 32}, **variant)
                self.assertEqual(outcome.get("code"), "InstanceNotFound", outcome)

    def test_a_call_is_told_as_the_sdk_set_it(self):
        receiver = Receiver()
        self.server.agent("told", limits={"max_duration_s": 30, "ring_timeout_s": 20})
        try:
            for at, version in enumerate(VERSIONS):
                with self.subTest(version), harness.Sipp("ok-answer-wait-bye.xml") as trunk:
                    sdk = Sdk(version, self.server)
                    settings = {"callback_url": receiver.url, "enable_notify": True, "token": f"token-{version}",
                                "enable_audio_recording": True}
                    self.assertIn("ok", set_ := sdk.ask(do="set_notify", agent="told", settings=settings), set_)
                    shown = sdk.ask(do="describe_notify", agent="told")["ok"]
                    self.assertEqual((shown["CallbackUrl"], shown["EnableNotify"], shown["Token"], shown["EventTypes"]),
                                     (receiver.url, True, f"token-{version}", ""))
                    self.server.trunk(f"told{at}", trunk.port)
                    self.server.number(f"+861830000036{at}", f"told{at}")
                    instance = sdk.ask(do="start", agent="told", caller=f"+861830000036{at}", callee="+8617300000533",
                                       greeting="Hello from the SDK.", user_data="as it came")["ok"]["InstanceId"]
                    told = lambda: [(headers, event) for headers, body in receiver.got
                                    if (event := json.loads(body))["instanceId"] == instance]
                    harness.wait_for("greeting", lambda: any(event["event"] == "chat_record" for _, event in told()))
                    self.assertIn("ok", sdk.ask(do="stop", instance=instance))
                    harness.wait_for("recording", lambda: any(event["event"] == "full_audio_record" for _, event in told()))
                    names = [event["event"] for _, event in told()]
                    self.assertEqual(names[-4:], ["agent_stop", "outbound_call", "audio_record", "full_audio_record"], names)
                    sentence = told()[-2][1]["data"]
                    self.assertEqual((sentence["role"], sentence["text"]), ("agent", "Hello from the SDK."))
                    _, _, clip = self.server.raw("GET", sentence["audioUrl"].removeprefix(self.server.url))
                    with wave.open(io.BytesIO(clip)) as sound:
                        self.assertAlmostEqual(sound.getnframes() / sound.getframerate() * 1000, sentence["duration"], delta=20)
                        self.assertEqual(sound.getnchannels(), 1)
                    self.assertEqual([n for n in names if n in ("agent_start", "session_start", "chat_record")][:3],
                                     ["agent_start", "session_start", "chat_record"])
                    for headers, event in told():
                        self.assertEqual(headers["authorization"], f"token-{version}")
                        self.assertEqual((event["userData"], event["aiAgentId"]), ("as it came", "told"))
                    audio = told()[-1][1]["data"]["audioUrl"]
                    self.assertTrue(audio.startswith(self.server.url), audio)
                    status, _, wav = self.server.raw("GET", audio.removeprefix(self.server.url))
                    self.assertEqual((status, wav[:4]), (200, b"RIFF"))
                    self.assertEqual(trunk.finished(), 0, trunk.errors())
        finally:
            receiver.close()

    def test_a_baresip_callee(self):
        with Baresip() as phone:
            self.server.trunk("baresip", phone.port)
            self.server.number("+8618300000339", "baresip")
            self.life("6.20.2", "+8618300000339")
            heard = max(pathlib.Path(phone.folder).glob("*dec.wav"), key=lambda file: file.stat().st_size)
            with wave.open(str(heard)) as sound:
                samples = array.array("h", sound.readframes(sound.getnframes()))
            loud = sum(1 for sample in samples if abs(sample) > 1000)
            self.assertGreater(loud, 2000, "the softphone heard the agent")

    def test_mistakes_come_as_the_vendors_errors(self):
        for version in VERSIONS:
            sdk = Sdk(version, self.server)
            for order, code, status in [
                ({"agent": "nobody"}, "AgentNotFound", 404),
                ({"agent": ""}, "MissingAIAgentId", 400),
                ({"caller": "+8613900000000"}, "InvalidParameter.CallerNumber", 400),
                ({"callee": "12\r\nVia: x"}, "InvalidParameter.CalledNumber", 400),
                ({"callee": ""}, "MissingCalledNumber", 400),
                ({"secret": "testSecretX"}, "SignatureDoesNotMatch", 400),
                ({"ak": "nobody"}, "InvalidAccessKeyId.NotFound", 404),
            ]:
                with self.subTest(version=version, order=order):
                    answer = sdk.ask(**{"do": "start", "agent": "desk", "caller": "+8618300000339",
                                        "callee": "+8617300000533", **order})
                    self.assertEqual(answer.get("code"), code, answer)
                    self.assertIn(str(status), str(answer.get("status") or answer["message"]))
            unknown = sdk.ask(do="describe", instance="0" * 32)
            self.assertEqual(unknown.get("code"), "InstanceNotFound", unknown)


if __name__ == "__main__":
    unittest.main(verbosity=2)
