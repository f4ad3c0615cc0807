-- The time zone (IANA) that an account knows a callee to be in, whatever its number says.
CREATE TABLE callee_zones (
    account TEXT   NOT NULL,
    number  TEXT   NOT NULL,
    zone    TEXT   NOT NULL,
    updated BIGINT NOT NULL,
    PRIMARY KEY (account, number)
);
