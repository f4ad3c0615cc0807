-- A call that waits for a place among the calls of its caller number, agent or account: the rule that was in the way, and
-- until when it waits (NULL: until its deadline, when it has one). It holds no place meanwhile.
ALTER TABLE calls ADD COLUMN waits TEXT;
ALTER TABLE calls ADD COLUMN waits_until BIGINT;
CREATE INDEX calls_waiting ON calls (account, caller, agent, waits, due, id) WHERE waits IS NOT NULL;
-- Who waits is not looked at by those who look for due calls.
CREATE INDEX calls_ready ON calls (due) WHERE state = 'queued' AND waits IS NULL;
