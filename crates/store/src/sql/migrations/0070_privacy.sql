-- What is gone of an ended call, and why: 'expired' or 'erased'.
ALTER TABLE calls ADD COLUMN recording_gone TEXT;
ALTER TABLE calls ADD COLUMN words_gone TEXT;
-- The sweeper finds what is old among what is still there, and nothing else.
CREATE INDEX calls_ended ON calls (account, ended, id) WHERE ended IS NOT NULL;
CREATE INDEX calls_recorded ON calls (account, ended, id) WHERE ended IS NOT NULL AND recording_gone IS NULL;
CREATE INDEX calls_worded ON calls (account, ended, id) WHERE ended IS NOT NULL AND words_gone IS NULL;
CREATE INDEX outbox_of_call ON outbox (account, call);
CREATE INDEX campaign_rows_number ON campaign_rows (account, number);

-- Calls whose records are gone whole: their ids, which are random, so that it can be said what became of them.
CREATE TABLE departed (
    account TEXT   NOT NULL,
    call    TEXT   NOT NULL,
    why     TEXT   NOT NULL,
    at      BIGINT NOT NULL,
    PRIMARY KEY (account, call)
);
CREATE INDEX departed_age ON departed (at);

-- Recordings to be removed, by the node that has them. Written with the mark that they are gone; taken away when they are.
CREATE TABLE removals (
    account TEXT   NOT NULL,
    name    TEXT   NOT NULL,
    node    TEXT   NOT NULL,
    erasure TEXT,
    queued  BIGINT NOT NULL,
    PRIMARY KEY (account, name)
);
CREATE INDEX removals_node ON removals (node, queued);
CREATE INDEX removals_erasure ON removals (account, erasure) WHERE erasure IS NOT NULL;

-- Numbers to be erased. The number itself is here only until that is done; the digest proves it afterwards.
CREATE TABLE erasures (
    account   TEXT   NOT NULL,
    id        TEXT   NOT NULL,
    digest    TEXT   NOT NULL,
    number    TEXT,
    requested BIGINT NOT NULL,
    finished  BIGINT,
    tally     TEXT   NOT NULL,
    PRIMARY KEY (account, id)
);
CREATE INDEX erasures_open ON erasures (account, id) WHERE finished IS NULL;
