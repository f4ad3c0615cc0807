// Joins a browser to a call: microphone and loudspeaker over WebRTC, and a data channel for what is said and done.
//
//   const call = new CallwrightCall({ joinUrl, token });      // both from the server that asked for the call
//   call.addEventListener("state", (event) => ...);           // event.detail: "listening" | "thinking" | "speaking"
//   await call.join();                                        // asks for the microphone
//   call.leave();
//
// Events (each with event.detail): state, agentText {text, sentence, end}, userText {text, sentence, end},
// reply {text, sentence}, interrupted {reason}, message (text), token (text), error {code}, leaving {reason, message},
// connected, closed, raw (every message of the data channel as it came).
"use strict";

const STATES = { 1: "listening", 2: "thinking", 3: "speaking" };
// The agent may not listen yet when the channel opens: the greeting is repeated, ever more slowly, until it answers.
const HELLO_MS = [...Array(20).fill(50), ...Array(5).fill(100), ...Array(3).fill(500), 2000, 2000];
const HELLO = JSON.stringify({ key: "aliyun_aigc", version: "1.0", type: "ready_req", data: { ready: true } });

export class CallwrightCall extends EventTarget {
  #options;
  #peer = null;
  #channel = null;
  #stream = null;
  #ready = false;
  #sent = 0;

  constructor(options) {
    super();
    this.#options = options;
  }

  // Asks for the microphone, joins, and resolves when audio can flow. Rejects with an Error whose `code` is the server's.
  async join() {
    const { joinUrl, token, audio } = this.#options;
    const wanted = { audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true } };
    this.#stream = this.#options.stream || (await navigator.mediaDevices.getUserMedia(wanted));
    const peer = new RTCPeerConnection();
    this.#peer = peer;
    for (const track of this.#stream.getAudioTracks()) peer.addTrack(track, this.#stream);
    const speaker = audio || new Audio();
    speaker.autoplay = true;
    peer.addEventListener("track", (event) => {
      speaker.srcObject = event.streams[0] || new MediaStream([event.track]);
    });
    this.#open(peer.createDataChannel("callwright"));
    const connected = new Promise((resolve, reject) => {
      peer.addEventListener("connectionstatechange", () => {
        if (peer.connectionState === "connected") resolve();
        if (["failed", "closed"].includes(peer.connectionState)) {
          reject(new Error("the connection failed"));
          this.#close();
        }
      });
    });
    // Awaited below; a failure before that is told there.
    connected.catch(() => {});
    try {
      await peer.setLocalDescription(await peer.createOffer());
      await gathered(peer);
      const answer = await ask(joinUrl, token, "POST", peer.localDescription.sdp);
      await peer.setRemoteDescription({ type: "answer", sdp: await answer.text() });
      await connected;
    } catch (error) {
      this.#close();
      throw error;
    }
    this.#tell("connected");
  }

  // Ends the call. Resolves when the server knows.
  async leave() {
    const { joinUrl, token } = this.#options;
    if (!this.#peer) return;
    this.#close();
    // The server notices by itself when this does not get through.
    await ask(joinUrl, token, "DELETE").catch(() => {});
  }

  // Makes the agent fall silent.
  interrupt() {
    this.send(1101, {});
  }

  // Whether the user says when a turn begins and ends (press, release, cancel) instead of silence.
  pushToTalk(enable) {
    this.send(1105, { enable });
  }

  // The user begins to talk, over the agent.
  press() {
    this.send(1106, {});
  }

  // The user has finished; the agent answers.
  release() {
    this.send(1107, {});
  }

  // What was said since press() is not meant.
  cancel() {
    this.send(1108, {});
  }

  // Puts a text to the agent as if it had been spoken.
  say(text) {
    this.send(1111, { text, enableInterrupt: 1 });
  }

  // Sends a text to whoever asked the server for the call.
  tellServer(message) {
    this.send(1112, { message });
  }

  // Whether the voice alone interrupts the agent.
  interruptible(enable) {
    this.send(1102, { enable });
  }

  // Switches the microphone on or off; the call goes on.
  mute(off) {
    for (const track of this.#stream ? this.#stream.getAudioTracks() : []) track.enabled = !off;
  }

  // Any message of the data channel, by its number. False when the agent does not listen (yet).
  send(type, data) {
    if (!this.#ready || !this.#channel || this.#channel.readyState !== "open") return false;
    this.#sent += 1;
    this.#channel.send(JSON.stringify({ type, data, seqId: this.#sent }));
    return true;
  }

  #open(channel) {
    this.#channel = channel;
    const hello = (turn) => {
      if (this.#ready || channel.readyState !== "open" || turn >= HELLO_MS.length) return;
      channel.send(HELLO);
      setTimeout(hello, HELLO_MS[turn], turn + 1);
    };
    channel.addEventListener("open", () => hello(0));
    channel.addEventListener("message", (event) => this.#hear(event.data));
  }

  #hear(text) {
    let message;
    try {
      message = JSON.parse(text);
    } catch {
      return;
    }
    this.#tell("raw", message);
    const data = message.data || {};
    const words = { text: data.text, sentence: data.sentenceId, end: data.end };
    if (message.type === "ready_resp") this.#ready = true;
    if (message.type === 1000) this.#tell("error", { code: data.code });
    if (message.type === 1001) this.#tell("state", STATES[data.state]);
    if (message.type === 1002) this.#tell("agentText", words);
    if (message.type === 1003) this.#tell("userText", words);
    if (message.type === 1006) {
      this.#options.token = data.token;
      this.#tell("token", data.token);
    }
    if (message.type === 1010) this.#tell("leaving", { reason: data.reason, message: data.message });
    if (message.type === 1011) this.#tell("message", data.message);
    if (message.type === 1016) this.#tell("interrupted", { reason: data.reason });
    if (message.type === 1017) this.#tell("reply", { text: data.text, sentence: data.sentenceId });
  }

  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  #close() {
    if (!this.#peer) return;
    const peer = this.#peer;
    this.#peer = null;
    this.#ready = false;
    peer.close();
    for (const track of this.#stream ? this.#stream.getTracks() : []) track.stop();
    this.#tell("closed");
  }
}

// Waits until the offer holds every address; there is no second message for those that are found later.
function gathered(peer) {
  if (peer.iceGatheringState === "complete") return Promise.resolve();
  return new Promise((resolve) => {
    const look = () => peer.iceGatheringState === "complete" && resolve();
    peer.addEventListener("icegatheringstatechange", look);
    setTimeout(resolve, 2000);
  });
}

async function ask(url, token, method, body) {
  const headers = { authorization: `Bearer ${token}`, ...(body && { "content-type": "application/sdp" }) };
  const answer = await fetch(url, { method, headers, body, keepalive: method === "DELETE" });
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => ({}));
  const error = new Error(told.error?.message || `the server answered ${answer.status}`);
  error.code = told.error?.code;
  throw error;
}
