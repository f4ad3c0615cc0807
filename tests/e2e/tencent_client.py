"""The vendor's own Python SDK, asked for one action: reads an order as JSON, prints the outcome as JSON. Runs within the
SDK's own environment."""

import json
import sys

from tencentcloud.ccc.v20200210 import ccc_client, models
from tencentcloud.common import credential
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile

for line in sys.stdin:
    order = json.loads(line)
    http = HttpProfile(protocol="http", endpoint=order["endpoint"], reqMethod=order.get("method", "POST"))
    profile = ClientProfile(signMethod=order.get("sign", "TC3-HMAC-SHA256"), httpProfile=http)
    profile.unsignedPayload = order.get("unsigned", False)
    client = ccc_client.CccClient(credential.Credential(order["id"], order["key"]), "", profile)
    request = getattr(models, order["do"] + "Request")()
    request.from_json_string(json.dumps(order.get("with", {})))
    try:
        outcome = {"ok": json.loads(getattr(client, order["do"])(request).to_json_string())}
    except TencentCloudSDKException as error:
        outcome = {"code": error.code, "message": error.message, "request": error.requestId}
    print(json.dumps(outcome), flush=True)
