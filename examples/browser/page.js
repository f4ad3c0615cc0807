// A page that talks to an agent. Serve this folder, name its origin in `[http] origins`, and put your server below.
import { CallwrightCall } from "http://127.0.0.1:8080/v1/client.js";

const part = (id) => document.getElementById(id);
const show = (text) => (part("state").textContent = text);
let call = null;

// Text of others is only ever set as text.
function line(who, text) {
  const item = document.createElement("li");
  item.textContent = `${who}: ${text}`;
  part("words").append(item);
}

part("join").addEventListener("click", async () => {
  call = new CallwrightCall({ joinUrl: part("url").value, token: part("token").value.trim() });
  call.addEventListener("state", (event) => show(event.detail));
  call.addEventListener("userText", (event) => event.detail.end && line("you", event.detail.text));
  call.addEventListener("agentText", (event) => event.detail.end || line("agent", event.detail.text));
  call.addEventListener("closed", () => {
    show("over");
    part("join").disabled = false;
    part("leave").disabled = true;
  });
  part("join").disabled = true;
  part("leave").disabled = false;
  try {
    await call.join();
  } catch (error) {
    show(`${error.code || "failed"}: ${error.message}`);
    part("join").disabled = false;
    part("leave").disabled = true;
  }
});
part("leave").addEventListener("click", () => call && call.leave());
