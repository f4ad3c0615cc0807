-- Where other nodes reach a node with orders for calls that it runs; empty: nowhere.
ALTER TABLE nodes ADD COLUMN advertise_url TEXT NOT NULL DEFAULT '';
