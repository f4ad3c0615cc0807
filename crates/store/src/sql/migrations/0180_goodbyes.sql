-- Calls whose far end was told of their end and has not answered yet, and which life of which node tells it again and again.
CREATE TABLE goodbyes (
    account TEXT   NOT NULL,
    call    TEXT   NOT NULL,
    owner   TEXT   NOT NULL,
    epoch   BIGINT NOT NULL,
    PRIMARY KEY (account, call)
);
