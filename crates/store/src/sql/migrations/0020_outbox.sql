-- Endpoints, and what is to be told to them. A message's row is written in the transaction of the event it tells.

CREATE TABLE webhooks (
    account       TEXT   NOT NULL,
    id            TEXT   NOT NULL UNIQUE,
    -- '': the account's; 'agent/<id>', 'call/<id>': that agent's or call's.
    whose         TEXT   NOT NULL,
    endpoint      TEXT   NOT NULL,
    topics        TEXT   NOT NULL,
    status        TEXT   NOT NULL,
    failing_since BIGINT,
    created       BIGINT NOT NULL,
    updated       BIGINT NOT NULL,
    PRIMARY KEY (account, id)
);
-- Asked with every event: must cost nothing where nobody listens.
CREATE INDEX webhooks_hearing ON webhooks (account, whose) WHERE status = 'enabled';

-- `due`: when the message may be told; while it is being told, when the teller is believed to be dead; none: it waits
-- for an earlier one of the same call, or it is settled. `tries_before`: tries made before it was last replayed.
CREATE TABLE outbox (
    account      TEXT   NOT NULL,
    webhook      TEXT   NOT NULL,
    message      TEXT   NOT NULL,
    call         TEXT   NOT NULL,
    seq          BIGINT NOT NULL,
    topic        TEXT   NOT NULL,
    at           BIGINT NOT NULL,
    body         TEXT,
    queued       BIGINT NOT NULL,
    due          BIGINT,
    owner        TEXT,
    epoch        BIGINT,
    tries        BIGINT NOT NULL,
    tries_before BIGINT NOT NULL,
    followers    BIGINT NOT NULL,
    outcome      TEXT,
    settled      BIGINT,
    PRIMARY KEY (account, webhook, message),
    FOREIGN KEY (account, webhook) REFERENCES webhooks (account, id) ON DELETE CASCADE
);
CREATE INDEX outbox_due ON outbox (webhook, due) WHERE due IS NOT NULL;
CREATE INDEX outbox_lane ON outbox (webhook, call, seq) WHERE settled IS NULL;
CREATE INDEX outbox_newest ON outbox (account, webhook, queued, message);
CREATE INDEX outbox_settled ON outbox (settled) WHERE settled IS NOT NULL;

CREATE TABLE outbox_attempts (
    account TEXT   NOT NULL,
    webhook TEXT   NOT NULL,
    message TEXT   NOT NULL,
    attempt BIGINT NOT NULL,
    at      BIGINT NOT NULL,
    took_ms BIGINT NOT NULL,
    status  BIGINT,
    detail  TEXT   NOT NULL,
    PRIMARY KEY (account, webhook, message, attempt),
    FOREIGN KEY (account, webhook, message) REFERENCES outbox (account, webhook, message) ON DELETE CASCADE
);

-- The account's feed reads what happened since a moment.
CREATE INDEX events_newest ON events (account, at, call, seq);
