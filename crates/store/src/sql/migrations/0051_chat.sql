-- Written messages between agents and users. `archived` 0: told to the user, no part of the thread's history.
CREATE TABLE chat_messages (
    account  TEXT   NOT NULL,
    thread   TEXT   NOT NULL,
    id       TEXT   NOT NULL,
    round    TEXT   NOT NULL,
    agent    TEXT   NOT NULL,
    person   TEXT   NOT NULL,
    author   TEXT   NOT NULL,
    kind     TEXT   NOT NULL,
    archived BIGINT NOT NULL,
    content  TEXT   NOT NULL,
    at       BIGINT NOT NULL,
    PRIMARY KEY (account, thread, id)
);
CREATE INDEX chat_messages_order ON chat_messages (account, thread, at, id);
-- The sweeper looks for what is too old.
CREATE INDEX chat_messages_age ON chat_messages (account, at);
CREATE INDEX chat_messages_inbox ON chat_messages (account, agent, person, at, id);
