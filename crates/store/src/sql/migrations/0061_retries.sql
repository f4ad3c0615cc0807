-- Calls that follow one another: the first of the chain (NULL: this one), the next, and whether there may be one.
ALTER TABLE calls ADD COLUMN first_call TEXT;
ALTER TABLE calls ADD COLUMN next_call TEXT;
ALTER TABLE calls ADD COLUMN retries BIGINT NOT NULL DEFAULT 0;
