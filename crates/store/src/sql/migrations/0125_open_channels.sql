-- In a channel of an account one call at a time is not over: of two that are asked for at once one is made. Were there two
-- already, the older ones give up their channel, which nobody could reach them by any more.
UPDATE calls SET channel = channel || '/' || id
    WHERE channel IS NOT NULL AND ended IS NULL AND EXISTS (SELECT 1 FROM calls o
        WHERE o.account = calls.account AND o.channel = calls.channel AND o.ended IS NULL
            AND (o.created > calls.created OR (o.created = calls.created AND o.id > calls.id)));
CREATE UNIQUE INDEX calls_open_channels ON calls (account, channel) WHERE channel IS NOT NULL AND ended IS NULL;
