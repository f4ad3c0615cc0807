-- A call that is met in a browser: the place where, and until when somebody is waited for. Other calls have neither.
ALTER TABLE calls ADD COLUMN channel TEXT;
ALTER TABLE calls ADD COLUMN joins_until BIGINT;
CREATE INDEX calls_channel ON calls (account, channel) WHERE channel IS NOT NULL;
CREATE INDEX calls_unjoined ON calls (joins_until) WHERE state = 'queued' AND channel IS NOT NULL;

-- What channel tokens of an account are signed with. The application's name is unique over all accounts: a token names it,
-- and nothing else says whose it is.
CREATE TABLE channel_apps (
    app_id  TEXT   NOT NULL PRIMARY KEY,
    account TEXT   NOT NULL UNIQUE,
    app_key TEXT   NOT NULL,
    created BIGINT NOT NULL
);
