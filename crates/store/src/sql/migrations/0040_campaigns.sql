-- Campaigns: what each is to do, its rows, and which call was which attempt of which row.

CREATE TABLE campaigns (
    account         TEXT   NOT NULL,
    id              TEXT   NOT NULL,
    settings        TEXT   NOT NULL,
    state           TEXT   NOT NULL,
    stopped         TEXT,
    trouble         TEXT,
    created         BIGINT NOT NULL,
    started         BIGINT,
    finished        BIGINT,
    places          BIGINT NOT NULL,
    imports         BIGINT NOT NULL,
    importing       TEXT,
    importing_until BIGINT,
    owner           TEXT,
    epoch           BIGINT,
    PRIMARY KEY (account, id)
);
CREATE INDEX campaigns_open ON campaigns (account, id) WHERE finished IS NULL;

-- `due` is when the row is to be called, and NULL when it is not to be called: that keeps the index as small as the work
-- that is left. A row belongs to an import and counts once that import is finished (import <= campaigns.imports).
CREATE TABLE campaign_rows (
    account  TEXT   NOT NULL,
    campaign TEXT   NOT NULL,
    place    BIGINT NOT NULL,
    import   BIGINT NOT NULL,
    line     BIGINT NOT NULL,
    once     TEXT   NOT NULL,
    number   TEXT   NOT NULL,
    own_id   TEXT,
    details  TEXT   NOT NULL,
    state    TEXT   NOT NULL,
    due      BIGINT,
    attempts BIGINT NOT NULL,
    call     TEXT,
    cause    TEXT,
    reason   TEXT,
    updated  BIGINT NOT NULL,
    PRIMARY KEY (account, campaign, place),
    FOREIGN KEY (account, campaign) REFERENCES campaigns (account, id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX campaign_rows_once ON campaign_rows (account, campaign, once);
CREATE INDEX campaign_rows_due ON campaign_rows (account, campaign, due, place) WHERE due IS NOT NULL;
CREATE INDEX campaign_rows_state ON campaign_rows (account, campaign, state, cause, import);

-- A row's attempt is one call, ever: the key is what keeps a retry from being made twice.
CREATE TABLE campaign_attempts (
    account  TEXT   NOT NULL,
    campaign TEXT   NOT NULL,
    place    BIGINT NOT NULL,
    attempt  BIGINT NOT NULL,
    call     TEXT   NOT NULL,
    PRIMARY KEY (account, campaign, place, attempt),
    FOREIGN KEY (account, campaign, place) REFERENCES campaign_rows (account, campaign, place) ON DELETE CASCADE
);
CREATE UNIQUE INDEX campaign_attempts_call ON campaign_attempts (account, call);

-- Answered and abandoned calls of each day (days since the epoch, UTC), for the guard.
CREATE TABLE campaign_days (
    account   TEXT   NOT NULL,
    campaign  TEXT   NOT NULL,
    day       BIGINT NOT NULL,
    answered  BIGINT NOT NULL,
    abandoned BIGINT NOT NULL,
    PRIMARY KEY (account, campaign, day),
    FOREIGN KEY (account, campaign) REFERENCES campaigns (account, id) ON DELETE CASCADE
);
