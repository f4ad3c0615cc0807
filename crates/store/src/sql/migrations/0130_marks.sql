-- The mark of the last event that the call's owner wrote: what the owner writes again, because it did not hear that it was
-- written, is known by it. It means nothing to another owner.
ALTER TABLE calls ADD COLUMN mark BIGINT NOT NULL DEFAULT 0;
