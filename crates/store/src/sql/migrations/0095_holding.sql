-- Calls that hold a place, without those that are due later: what is counted when a call is accepted. A number, agent or
-- account with a hundred thousand scheduled calls costs as little as one with none.
CREATE INDEX calls_holding ON calls (account, caller) WHERE ended IS NULL AND held = 1;
CREATE INDEX calls_holding_agent ON calls (account, agent) WHERE ended IS NULL AND held = 1;
-- Nobody asks by these any more, and each costs something with every call.
DROP INDEX calls_active;
DROP INDEX calls_of_agent;
DROP INDEX calls_due;
