-- Channels of trunks that several nodes share: one row for each that is taken, by whom and for which call. `hold` tells
-- apart what one node takes for the same call one after the other.
CREATE TABLE trunk_channels (
    account TEXT   NOT NULL,
    trunk   TEXT   NOT NULL,
    call    TEXT   NOT NULL,
    hold    BIGINT NOT NULL,
    owner   TEXT   NOT NULL,
    epoch   BIGINT NOT NULL,
    PRIMARY KEY (account, trunk, call, hold)
);
