-- All the caller numbers of a call that may show any of several, each between two commas; NULL: it has one.
ALTER TABLE calls ADD COLUMN pool TEXT;
CREATE INDEX calls_pooled ON calls (account) WHERE waits IS NOT NULL AND pool IS NOT NULL;
