-- Which calls share a chat history (a thread, by the requester's own id), and which of its lines are not to be told again.

CREATE TABLE thread_calls (
    account TEXT   NOT NULL,
    thread  TEXT   NOT NULL,
    created BIGINT NOT NULL,
    call    TEXT   NOT NULL,
    PRIMARY KEY (account, thread, created, call),
    FOREIGN KEY (account, call) REFERENCES calls (account, id) ON DELETE CASCADE
);
CREATE INDEX thread_calls_call ON thread_calls (account, call);

-- A line is an event of a call's journal; the journal itself stays as it was.
CREATE TABLE thread_forgotten (
    account TEXT   NOT NULL,
    call    TEXT   NOT NULL,
    seq     BIGINT NOT NULL,
    PRIMARY KEY (account, call, seq),
    FOREIGN KEY (account, call) REFERENCES calls (account, id) ON DELETE CASCADE
);
