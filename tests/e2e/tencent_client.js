// The vendor's own Node SDKs, asked for one action: reads orders as lines of JSON, prints outcomes as lines of JSON.
// Runs within the folder that the SDK is installed in; the order of the folders' names says which SDK it is.
const readline = require("readline");

const intl = process.argv[2] === "intl";
const load = (name) => require(require.resolve(name, { paths: [process.argv[3]] }));

function ask(order, done) {
  if (intl) {
    const sdk = load("tencentcloud-sdk-nodejs-intl-en");
    const common = load("tencentcloud-sdk-nodejs-intl-en/tencentcloud/common");
    const { Client, Models } = sdk.ccc.v20200210;
    const http = new common.HttpProfile("http://", order.endpoint, order.method || "POST");
    const profile = new common.ClientProfile(order.sign, http);
    const client = new Client(new common.Credential(order.id, order.key), "", profile);
    const request = new Models[order.do + "Request"]();
    request.from_json_string(JSON.stringify(order.with || {}));
    client[order.do](request, (error, answer) => {
      if (error) return done({ code: error.code, message: error.message || String(error), request: error.requestId });
      done({ ok: JSON.parse(answer.to_json_string()) });
    });
    return;
  }
  const { CommonClient } = load("tencentcloud-sdk-nodejs-common");
  const profile = { httpProfile: { protocol: "http://", endpoint: order.endpoint, reqMethod: order.method || "POST" } };
  if (order.sign) profile.signMethod = order.sign;
  const client = new CommonClient(order.endpoint, "2020-02-10",
    { credential: { secretId: order.id, secretKey: order.key }, region: "", profile });
  client.request(order.do, order.with || {}).then(
    (ok) => done({ ok }),
    (error) => done({ code: error.code, message: error.message, request: error.requestId }));
}

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  ask(JSON.parse(line), (outcome) => console.log(JSON.stringify(outcome)));
});
