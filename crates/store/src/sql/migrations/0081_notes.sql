-- What people wrote beside calls.
CREATE TABLE call_notes (
    account TEXT   NOT NULL,
    call    TEXT   NOT NULL,
    id      TEXT   NOT NULL,
    author  TEXT   NOT NULL,
    content TEXT   NOT NULL,
    flagged BIGINT NOT NULL,
    created BIGINT NOT NULL,
    PRIMARY KEY (account, call, id)
);
