-- What is found out about calls after their end. `due`: when it is to be tried; while it is, when whoever tries is believed
-- to be dead; none: it is settled. `owner`: the node that tried last.
CREATE TABLE extracts (
    account  TEXT   NOT NULL,
    call     TEXT   NOT NULL,
    state    TEXT   NOT NULL,
    due      BIGINT,
    owner    TEXT,
    tries    BIGINT NOT NULL,
    findings TEXT,
    detail   TEXT   NOT NULL,
    updated  BIGINT NOT NULL,
    PRIMARY KEY (account, call)
);
CREATE INDEX extracts_due ON extracts (due) WHERE due IS NOT NULL;

-- Whether the call's agent wants to know anything then.
ALTER TABLE calls ADD COLUMN wants_findings BIGINT NOT NULL DEFAULT 0;
