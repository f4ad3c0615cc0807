-- The agent of a number's calls that name none; empty: none.
ALTER TABLE numbers ADD COLUMN agent TEXT NOT NULL DEFAULT '';
