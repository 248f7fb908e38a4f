-- Version 5: what the provider says of a campaign after its calls.

-- A group's failure file as it came, in pieces of 256 KiB: it is whole when all of them are there.
CREATE TABLE failure_file (
    campaign bigint NOT NULL,
    group_no integer NOT NULL,
    piece_no integer NOT NULL,        -- from 0
    pieces   integer NOT NULL,        -- how many there are of the whole file
    piece    bytea NOT NULL CHECK (octet_length(piece) <= 262144),
    PRIMARY KEY (campaign, group_no, piece_no)
);

-- What was counted of clicks for the sends of one China-time day, when the provider was asked last.
CREATE TABLE click_day (
    campaign   bigint NOT NULL,
    asked_at   double precision NOT NULL,
    by_message boolean NOT NULL,      -- each group send of the campaign; false: all that the account sent
                                      -- of its message type
    day        text NOT NULL,         -- '2026-11-24'
    counts     text NOT NULL,         -- JSON: [{"msg_id", "people", "clicks"}, …]
    PRIMARY KEY (campaign, day, by_message)
);

-- When somebody looks next, by the Unix clock; NULL: never again. 0 is a campaign at which nobody has
-- looked yet: a new one, or one that was resumed.
ALTER TABLE campaign ADD COLUMN clicks_at double precision DEFAULT 0;
ALTER TABLE campaign ADD COLUMN reconcile_at double precision DEFAULT 0;
CREATE INDEX campaign_clicks_at ON campaign (clicks_at) WHERE clicks_at IS NOT NULL;
CREATE INDEX campaign_reconcile_at ON campaign (reconcile_at) WHERE reconcile_at IS NOT NULL;

-- What is done once a day by whichever worker comes first, and when it was begun last.
CREATE TABLE upkeep (
    task     text PRIMARY KEY,        -- 'prune'
    begun_at double precision NOT NULL
);
