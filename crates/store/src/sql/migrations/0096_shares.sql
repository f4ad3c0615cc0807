-- What several nodes take from together: requests of a second, turns of a trunk. One row for each, written over and over.
-- `slot`: the second that is counted in, or the moment of the next free turn; `taken`: how much of the second is taken, or
-- the moment of the last question; `granted`: what the last question got.
CREATE TABLE shares (
    account TEXT   NOT NULL,
    name    TEXT   NOT NULL,
    slot    BIGINT NOT NULL,
    taken   BIGINT NOT NULL,
    granted BIGINT NOT NULL,
    PRIMARY KEY (account, name)
);
