-- When an agent was first written. Of those that are there already only the last time is known.
ALTER TABLE agents ADD COLUMN created BIGINT NOT NULL DEFAULT 0;
UPDATE agents SET created = updated;
