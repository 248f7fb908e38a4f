-- The journal on PostgreSQL, version 1: many campaigns in one database, each as one SQLite file is.
-- The tables and the view are stable: query them freely, while workers send too; write nothing.
--
-- Times are Unix seconds. Codes of a recipient's state:
--   0 pending, 1 intended, 2 sent, 3 failed, 4 unknown, 5 skipped, 6 cancelled.
-- The view `outcomes` shows their names. Everything is in the schema `promomsg`.

-- One row per campaign. message, settings, source and outage are JSON.
CREATE TABLE campaign (
    campaign      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    journal       text NOT NULL UNIQUE, -- the name that its journal is asked for by
    name          text NOT NULL,
    channel       text NOT NULL,
    account       text NOT NULL,
    run_id        text NOT NULL,        -- idempotency keys are derived from it
    message       text NOT NULL,
    settings      text NOT NULL,
    source        text NOT NULL,
    base_url      text NOT NULL,        -- where it was started; compared only, nothing is sent to it
    campaign_file text,
    created_at    double precision NOT NULL,
    planned_at    double precision,     -- NULL while the plan is not complete
    halted        text,                 -- why a sender stopped it for all before the end
    outage        text,                 -- since when the provider is not there; NULL: it is
    chunk_size    integer NOT NULL DEFAULT 512,
    needs_chunks  boolean NOT NULL DEFAULT true -- rows may be pending outside of any chunk
);

CREATE TABLE warning (
    campaign   bigint NOT NULL,
    warning_no bigint GENERATED ALWAYS AS IDENTITY,
    text       text NOT NULL,
    PRIMARY KEY (campaign, warning_no)
);
CREATE UNIQUE INDEX warning_once ON warning (campaign, md5(text));

-- What is asked of everybody who sends it.
CREATE TABLE control (
    campaign     bigint PRIMARY KEY,
    requested    text NOT NULL DEFAULT 'run', -- 'run', 'pause' or 'cancel'
    parked_until double precision     -- nobody sends before that
);

-- One row per row read: a partition for each campaign, `recipient_` and its number, which is filled
-- first and attached when the plan is complete. Nothing that a send changes has an index, and each
-- page keeps room, so that a change stays in its page.
CREATE TABLE recipient (
    campaign       bigint NOT NULL,
    seq            bigint NOT NULL,
    at             double precision,  -- when the state was reached; NULL: by planning, or never
    intended_at    double precision,  -- of its last intent
    state          smallint NOT NULL DEFAULT 0,
    attempts       integer NOT NULL DEFAULT 0, -- calls made (of a group: once it is over)
    group_no       integer,           -- the group send they are in
    generation     integer NOT NULL DEFAULT 0, -- raised when a failure is reopened
    maybe_sent     boolean NOT NULL DEFAULT false, -- an earlier attempt may have been delivered
    key            text NOT NULL,
    id             text,
    openid         text,
    unionid        text,
    fingerprint    bytea,             -- stands for an address that is not kept (a user's token)
    request_id     text,
    message_values text,              -- JSON array: the placeholders' values; NULL without any
    message_digest bytea,             -- of the rendered message; NULL without placeholders
    code           text NOT NULL DEFAULT '',
    detail         text NOT NULL DEFAULT '',
    rid            text,
    extra          text
) PARTITION BY LIST (campaign);

-- How many recipients there are in each state: the sum over those who have changed it, who planned it
-- among them. Each writes rows of its own, and so waits for nobody. The people of an audience that was
-- not expanded are in it; intended ones are in it as pending.
CREATE TABLE tally (
    campaign   bigint NOT NULL,
    recipients bigint NOT NULL,       -- more, or below zero fewer, by this worker
    last_at    double precision,      -- when the last of them got there; NULL: by planning
    state      smallint NOT NULL,     -- as a recipient's
    worker     text NOT NULL,
    code       text NOT NULL,         -- of those that are 3 to 6; else empty
    PRIMARY KEY (campaign, worker, state, code)
) WITH (fillfactor = 50);

-- How many singles each worker has intended on each China-time day, less those given back uncalled.
CREATE TABLE intent_day (
    campaign bigint NOT NULL,
    singles  bigint NOT NULL,
    day      text NOT NULL,           -- '2026-11-24'
    worker   text NOT NULL,
    PRIMARY KEY (campaign, day, worker)
) WITH (fillfactor = 50);

-- One row per group send; `state` is the name of a promomsg.states.GroupState.
-- An audience that was not expanded has no recipients here: its people are counted in the five
-- audience_ columns (only those named as failed become rows).
CREATE TABLE group_send (
    campaign           bigint NOT NULL,
    group_no           integer NOT NULL,
    planned            bigint NOT NULL,
    sent_at            double precision,
    next_poll_at       double precision,
    followed_since     double precision, -- accepted, or the campaign resumed, at that time
    percent            integer,
    send_cnt           bigint,
    fail_cnt           bigint,
    attempts           integer NOT NULL DEFAULT 0,
    polls              integer NOT NULL DEFAULT 0,
    polls_at_100       integer NOT NULL DEFAULT 0, -- polls that said 100% and yet were not the end
    given_up           boolean NOT NULL DEFAULT false, -- it is not polled any more
    warned_of_age      boolean NOT NULL DEFAULT false,
    audience_pending   bigint NOT NULL DEFAULT 0,
    audience_sent      bigint NOT NULL DEFAULT 0,
    audience_failed    bigint NOT NULL DEFAULT 0,
    audience_unknown   bigint NOT NULL DEFAULT 0,
    audience_cancelled bigint NOT NULL DEFAULT 0,
    state              text NOT NULL DEFAULT 'planned',
    message_values     text,
    message_digest     bytea,
    audience           text,          -- JSON; NULL when the members are rows
    msg_id             text,
    code               text NOT NULL DEFAULT '',
    detail             text NOT NULL DEFAULT '',
    rid                text,
    PRIMARY KEY (campaign, group_no)
) WITH (fillfactor = 50);

-- What is leased: the pending singles with `first_seq <= seq <= last_seq`, or one group.
CREATE TABLE chunk (
    campaign  bigint NOT NULL,
    first_seq bigint,
    last_seq  bigint,
    deadline  double precision,       -- of the lease, by this server's clock; NULL: nobody holds it
    chunk_no  integer NOT NULL,
    group_no  integer,                -- NULL: singles
    epoch     integer NOT NULL DEFAULT 0, -- raised by every take: the fence
    done      boolean NOT NULL DEFAULT false,
    holder    text,                   -- the worker that took it last
    PRIMARY KEY (campaign, chunk_no)
) WITH (fillfactor = 50);
CREATE INDEX chunk_open ON chunk (campaign, (group_no IS NULL), chunk_no) WHERE NOT done;

-- One row (now and then some) per commit that intended singles or made rows final, in order. A number
-- of this table is no order of commits: outcomes are read in order of (xid, log_no), and only those
-- below every transaction that is still open.
CREATE TABLE commit_log (
    campaign         bigint NOT NULL,
    xid              xid8 NOT NULL DEFAULT pg_current_xact_id(),
    log_no           bigint GENERATED ALWAYS AS IDENTITY,
    intended_at      double precision, -- when its singles were intended
    intended_singles integer,          -- how many
    final_seqs       bigint[],         -- recipient.seq
    PRIMARY KEY (campaign, xid, log_no)
);

-- Attempts that were taken back at the user's request (retry, reconcile).
CREATE TABLE attempt_history (
    campaign   bigint NOT NULL,
    seq        bigint NOT NULL,
    history_no integer NOT NULL,      -- 1 for the first one taken back
    state      smallint NOT NULL,
    attempts   integer NOT NULL,
    before_xid xid8 NOT NULL,         -- commit_log.xid of what was taken back is below it
    at         double precision,
    code       text NOT NULL,
    detail     text NOT NULL,
    rid        text,
    msg_id     text,                  -- of the group send, when it was one
    PRIMARY KEY (campaign, seq, history_no)
);

-- Recipients with the names of their states: what to look at first. Ask for one `campaign`.
CREATE VIEW outcomes AS
SELECT r.campaign,
       r.seq,
       r.key,
       (ARRAY['pending', 'intended', 'sent', 'failed', 'unknown', 'skipped', 'cancelled'])[r.state + 1]
           AS state,
       r.code,
       r.detail,
       r.attempts,
       coalesce(g.msg_id, g.group_no::text) AS msg_id,
       r.at,
       r.rid,
       r.id,
       r.openid,
       r.unionid,
       r.request_id,
       r.extra
FROM recipient r LEFT JOIN group_send g ON g.campaign = r.campaign AND g.group_no = r.group_no;
