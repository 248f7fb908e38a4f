-- The journal on PostgreSQL, version 3: one quota for an account, whoever sends for it.

-- One row per account and kind of call. Every sender of the account changes it a few times a second, so its
-- pages keep room for that. It may be deleted while nobody sends for the account.
CREATE TABLE quota (
    channel text NOT NULL,            -- 'wechat', 'alipay'
    origin  text NOT NULL,            -- the provider's server: a sandbox never spends production's day
    account text NOT NULL,
    kind    text NOT NULL,            -- 'singles' or 'groups'
    state   text NOT NULL DEFAULT '', -- what was given out lately and how many went a day, as JSON
    PRIMARY KEY (channel, origin, account, kind)
) WITH (fillfactor = 25, autovacuum_vacuum_threshold = 1000);
