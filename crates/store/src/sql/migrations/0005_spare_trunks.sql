-- The trunks that are tried when a number's first one fails: a JSON list of ids, in order.
ALTER TABLE numbers ADD COLUMN spare_trunks TEXT NOT NULL DEFAULT '[]';
