-- Times are milliseconds since the Unix epoch, UTC. Structured values are JSON text. Every key begins with the account.

CREATE TABLE nodes (
    node        TEXT   NOT NULL PRIMARY KEY,
    epoch       BIGINT NOT NULL,
    lease_until BIGINT NOT NULL
);

CREATE TABLE accounts (
    id        TEXT   NOT NULL PRIMARY KEY,
    name      TEXT   NOT NULL,
    max_calls BIGINT NOT NULL
);

CREATE TABLE agents (
    account TEXT   NOT NULL,
    id      TEXT   NOT NULL,
    profile TEXT   NOT NULL,
    updated BIGINT NOT NULL,
    PRIMARY KEY (account, id)
);

CREATE TABLE trunks (
    account  TEXT   NOT NULL,
    id       TEXT   NOT NULL,
    settings TEXT   NOT NULL,
    enabled  BIGINT NOT NULL,
    PRIMARY KEY (account, id)
);

CREATE TABLE numbers (
    account   TEXT   NOT NULL,
    number    TEXT   NOT NULL,
    trunk     TEXT   NOT NULL,
    status    TEXT   NOT NULL,
    max_calls BIGINT NOT NULL,
    PRIMARY KEY (account, number)
);

CREATE TABLE api_keys (
    account TEXT NOT NULL,
    id      TEXT NOT NULL UNIQUE,
    name    TEXT NOT NULL,
    secret  TEXT NOT NULL,
    scopes  TEXT NOT NULL,
    status  TEXT NOT NULL,
    PRIMARY KEY (account, id)
);

-- One row a call: what it is to be, and a projection of its journal. `owner` and `epoch` name the life of the node
-- that runs it; the lease is the node's own (nodes.lease_until), so that keeping it costs one row and not one a call.
CREATE TABLE calls (
    account   TEXT   NOT NULL,
    id        TEXT   NOT NULL UNIQUE,
    agent     TEXT   NOT NULL,
    callee    TEXT   NOT NULL,
    caller    TEXT   NOT NULL,
    plan      TEXT   NOT NULL,
    created   BIGINT NOT NULL,
    due       BIGINT NOT NULL,
    state     TEXT   NOT NULL,
    cause     TEXT,
    status    BIGINT,
    q850      BIGINT,
    timeline  TEXT   NOT NULL,
    seq       BIGINT NOT NULL,
    attempt   BIGINT NOT NULL,
    intent    TEXT,
    dialog    TEXT,
    recording TEXT,
    ended     BIGINT,
    owner     TEXT,
    epoch     BIGINT,
    PRIMARY KEY (account, id)
);
-- The partial indexes keep counting and claiming as cheap after a million ended calls as after none.
CREATE INDEX calls_active ON calls (account, caller) WHERE ended IS NULL;
CREATE INDEX calls_due ON calls (due) WHERE state = 'queued';
CREATE INDEX calls_running ON calls (owner, epoch) WHERE ended IS NULL;
CREATE INDEX calls_newest ON calls (account, created, id);

CREATE TABLE events (
    account TEXT   NOT NULL,
    call    TEXT   NOT NULL,
    seq     BIGINT NOT NULL,
    at      BIGINT NOT NULL,
    event   TEXT   NOT NULL,
    PRIMARY KEY (account, call, seq),
    FOREIGN KEY (account, call) REFERENCES calls (account, id) ON DELETE CASCADE
);

CREATE TABLE records (
    account   TEXT   NOT NULL,
    call      TEXT   NOT NULL,
    attempt   BIGINT NOT NULL,
    cause     TEXT   NOT NULL,
    status    BIGINT,
    q850      BIGINT,
    timeline  TEXT   NOT NULL,
    talked_ms BIGINT NOT NULL,
    ended     BIGINT NOT NULL,
    PRIMARY KEY (account, call, attempt),
    FOREIGN KEY (account, call) REFERENCES calls (account, id) ON DELETE CASCADE
);

CREATE TABLE idempotency_keys (
    account   TEXT   NOT NULL,
    key       TEXT   NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    body_hash TEXT   NOT NULL,
    call      TEXT   NOT NULL,
    response  TEXT   NOT NULL,
    expires   BIGINT NOT NULL,
    PRIMARY KEY (account, key)
);
CREATE INDEX idempotency_keys_expires ON idempotency_keys (expires);

-- A key's id is unique over all accounts, so it stands for its account here.
CREATE TABLE nonces (
    key_id  TEXT   NOT NULL,
    nonce   TEXT   NOT NULL,
    expires BIGINT NOT NULL,
    PRIMARY KEY (key_id, nonce)
);
CREATE INDEX nonces_expires ON nonces (expires);

CREATE TABLE aliases (
    account  TEXT NOT NULL,
    dialect  TEXT NOT NULL,
    kind     TEXT NOT NULL,
    outer_id TEXT NOT NULL,
    inner_id TEXT NOT NULL,
    PRIMARY KEY (account, dialect, kind, outer_id),
    UNIQUE (account, dialect, kind, inner_id)
);
