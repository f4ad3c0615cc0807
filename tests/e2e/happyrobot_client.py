"""The vendor's own package reads what a hook told: an event as JSON on each line, what the package made of it as JSON. Runs
within the package's own environment."""

import json
import sys

from happyrobot.models.event import EndContent, Event, StartContent
from happyrobot.models.message import Messages
from pydantic import ValidationError

for line in sys.stdin:
    try:
        event = Event(**json.loads(line))
        if event.type == "end":
            content = EndContent(**event.content)
            told = Messages(messages=content.messages).to_dict()
        else:
            StartContent(**event.content)
            told = []
        outcome = {"type": event.type, "id": event.call.id, "from": event.call.metadata.ffrom, "to": event.call.metadata.to,
                   "messages": told}
    except ValidationError as error:
        outcome = {"refused": [".".join(map(str, one["loc"])) for one in error.errors()]}
    print(json.dumps(outcome), flush=True)
