-- Rules of an account (agent = '') and what its agents change in them.
CREATE TABLE rules (
    account TEXT   NOT NULL,
    agent   TEXT   NOT NULL,
    rules   TEXT   NOT NULL,
    updated BIGINT NOT NULL,
    PRIMARY KEY (account, agent)
);

-- Whom nobody may call. The account '*' stands for all: it is no account's id.
CREATE TABLE denied (
    account TEXT   NOT NULL,
    number  TEXT   NOT NULL,
    reason  TEXT   NOT NULL,
    added   BIGINT NOT NULL,
    PRIMARY KEY (account, number)
);

CREATE TABLE consents (
    account TEXT   NOT NULL,
    number  TEXT   NOT NULL,
    scope   TEXT   NOT NULL,
    source  TEXT   NOT NULL,
    wording TEXT   NOT NULL,
    given   BIGINT NOT NULL,
    revoked BIGINT,
    PRIMARY KEY (account, number, scope)
);

-- Why a call was placed or refused: the last verdict at each stage. A refused request has a verdict and no call.
CREATE TABLE verdicts (
    account  TEXT   NOT NULL,
    call     TEXT   NOT NULL,
    stage    TEXT   NOT NULL,
    at       BIGINT NOT NULL,
    refusal  TEXT,
    evidence TEXT   NOT NULL,
    PRIMARY KEY (account, call, stage)
);
CREATE INDEX verdicts_age ON verdicts (at);

-- What an account has used, a row a day (UTC, days since 1970).
CREATE TABLE usage_days (
    account   TEXT   NOT NULL,
    day       BIGINT NOT NULL,
    talked_ms BIGINT NOT NULL,
    cost      BIGINT NOT NULL,
    PRIMARY KEY (account, day)
);

-- Rows that are locked while something is counted over that has no row of its own.
CREATE TABLE gates (
    account TEXT   NOT NULL,
    gate    TEXT   NOT NULL,
    touched BIGINT NOT NULL,
    PRIMARY KEY (account, gate)
);

-- Whether a call holds a place among those of its caller number, agent and account: one that is due later does not.
ALTER TABLE calls ADD COLUMN held BIGINT NOT NULL DEFAULT 1;
CREATE INDEX calls_of_callee ON calls (account, callee, due);
CREATE INDEX calls_of_caller ON calls (account, caller, due);
CREATE INDEX calls_of_account ON calls (account, due);
CREATE INDEX calls_of_agent ON calls (account, agent) WHERE ended IS NULL;
