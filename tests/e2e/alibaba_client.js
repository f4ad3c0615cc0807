// The vendor's own generic Node clients, asked for one action: reads orders as lines of JSON, prints outcomes as lines of JSON.
// Each runs within the folder that it is installed in: `openapi` is @alicloud/openapi-client, `pop` is @alicloud/pop-core.
const readline = require("readline");

const [, , kind, folder] = process.argv;
const load = (name) => require(require.resolve(name, { paths: [folder] }));
const VERSION = "2020-11-09";

// Structured parameters are JSON text, as the generated SDKs make it.
const text = (value) => (typeof value === "object" ? JSON.stringify(value) : value);

async function openapi(order) {
  const { default: Client, Config, Params, OpenApiRequest } = load("@alicloud/openapi-client");
  const { RuntimeOptions } = load("@alicloud/tea-util");
  const config = new Config({ endpoint: order.endpoint, protocol: "http", accessKeyId: order.id, accessKeySecret: order.key });
  if (order.sign) config.signatureAlgorithm = order.sign;
  const params = new Params({ action: order.do, version: VERSION, protocol: "HTTP", method: "POST", authType: "AK", style: "RPC",
                              pathname: "/", reqBodyType: order.reqBodyType || "formData", bodyType: "json" });
  const given = Object.fromEntries(Object.entries(order.with || {}).map(([name, value]) => [name, text(value)]));
  const request = new OpenApiRequest(order.place === "body" ? { body: given } : { query: given });
  const answer = await new Client(config).callApi(params, request, new RuntimeOptions({}));
  return answer.body;
}

async function pop(order) {
  const { RPCClient } = load("@alicloud/pop-core");
  const client = new RPCClient({ endpoint: `http://${order.endpoint}`, apiVersion: VERSION, accessKeyId: order.id,
                                 accessKeySecret: order.key });
  const given = Object.fromEntries(Object.entries(order.with || {}).map(([name, value]) => [name, text(value)]));
  return client.request(order.do, given, { method: order.method || "POST", formatParams: false });
}

readline.createInterface({ input: process.stdin }).on("line", async (line) => {
  const order = JSON.parse(line);
  try {
    console.log(JSON.stringify({ ok: await (kind === "openapi" ? openapi : pop)(order) }));
  } catch (error) {
    console.log(JSON.stringify({ code: error.code, message: error.message, data: error.data }));
  }
});
