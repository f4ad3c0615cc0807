-- A call that goes takes its vendors' ids with it, whichever dialects they are of; without this it looked through all of
-- the account's.
CREATE INDEX aliases_inner ON aliases (account, inner_id);
