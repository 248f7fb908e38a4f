-- Version 2: the workers that send the campaigns, and what they look for in them.

-- One row per worker at work. One that ends removes its own; one that was killed leaves it, with a
-- seen_at that grows old. Times are by this server's clock.
CREATE TABLE worker (
    started_at  double precision NOT NULL DEFAULT extract(epoch FROM clock_timestamp()),
    seen_at     double precision NOT NULL DEFAULT extract(epoch FROM clock_timestamp()),
    concurrency integer NOT NULL,         -- calls at once, of each campaign
    draining    boolean NOT NULL DEFAULT false, -- it is asked to take no more work and to end
    name        text PRIMARY KEY,         -- as in chunk.holder and tally.worker
    version     text NOT NULL,            -- of promomsg
    tasks       text[] NOT NULL,          -- what it knows how to do
    doing       jsonb NOT NULL DEFAULT '[]', -- [{"task": …, "campaign": number}]
    trouble     jsonb NOT NULL DEFAULT '[]'  -- what it cannot do, and why, a line each
) WITH (fillfactor = 50);

-- Which migrations of the queue (Procrastinate's tables) have been applied.
CREATE TABLE queue_version (
    migration  text PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- Groups that are followed, also those that a process had to give up: all others, of however many campaigns,
-- are not looked at.
CREATE INDEX group_followed ON group_send (campaign, next_poll_at) WHERE state = 'accepted';
