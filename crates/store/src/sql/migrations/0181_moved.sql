-- A row when everything that stands here was moved to a shared database: which one.
CREATE TABLE moved (
    destination TEXT NOT NULL PRIMARY KEY
);
