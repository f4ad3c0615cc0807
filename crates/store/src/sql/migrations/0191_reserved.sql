-- How long a call may talk: while it holds a place, so much of its account's quota is its own.
ALTER TABLE calls ADD COLUMN talks_ms BIGINT NOT NULL DEFAULT 0;
