-- The journal of one campaign, version 3. The tables and the view are stable: query them freely
-- (sqlite3, DuckDB, pandas), while a sender runs too; write nothing.
--
-- Times are Unix seconds. Codes of a recipient's state:
--   0 pending, 1 intended, 2 sent, 3 failed, 4 unknown, 5 skipped, 6 cancelled.
-- The view `outcomes` shows their names.

PRAGMA application_id = 1347571533; -- 'PROM'
PRAGMA user_version = 3;

-- The campaign: one row. message, settings, source and warnings are JSON.
CREATE TABLE campaign (
    only_row      INTEGER PRIMARY KEY CHECK (only_row = 1),
    name          TEXT NOT NULL,
    channel       TEXT NOT NULL,
    account       TEXT NOT NULL,
    run_id        TEXT NOT NULL,      -- idempotency keys are derived from it
    message       TEXT NOT NULL,
    settings      TEXT NOT NULL,
    source        TEXT NOT NULL,
    base_url      TEXT NOT NULL,      -- where it was started; compared only, nothing is sent to it
    campaign_file TEXT,
    created_at    REAL NOT NULL,
    planned_at    REAL,               -- NULL while the plan is not complete
    warnings      TEXT NOT NULL,
    halted        TEXT,               -- why the last run stopped before the end
    outage        TEXT,               -- JSON: since when the provider is not there; NULL: it is
    chunk_size    INTEGER NOT NULL DEFAULT 512,
    needs_chunks  INTEGER NOT NULL DEFAULT 1, -- 1: rows may be pending outside of any chunk
    sender_open   INTEGER NOT NULL DEFAULT 0, -- the open flag: 1 from before the first call until a
                                              -- clean close
    opening       TEXT,               -- the sender that intended last: the wire slots beside the
                                      -- journal are of the same one; NULL: none is to be believed
    parked_until  REAL                -- nobody sends before: the day's quota is used up; NULL: one may
);

-- What another process asks of the sender: 'run', 'pause' or 'cancel'.
CREATE TABLE control (
    only_row  INTEGER PRIMARY KEY CHECK (only_row = 1),
    requested TEXT NOT NULL
);
INSERT INTO control VALUES (1, 'run');

-- One row per row read. Updated by its integer key; nothing on the hot path has an index.
CREATE TABLE recipient (
    seq            INTEGER PRIMARY KEY,
    state          INTEGER NOT NULL,
    attempts       INTEGER NOT NULL DEFAULT 0, -- calls made (of a group: once it is over)
    at             REAL,              -- when the state was reached; NULL: by planning, or never
    group_no       INTEGER,           -- the group send they are in
    generation     INTEGER NOT NULL DEFAULT 0, -- raised when a failure is reopened
    maybe_sent     INTEGER NOT NULL DEFAULT 0, -- 1: an earlier attempt may have been delivered
    key            TEXT NOT NULL,
    id             TEXT,
    openid         TEXT,
    unionid        TEXT,
    fingerprint    BLOB,              -- stands for an address that is not kept (a user's token)
    request_id     TEXT,
    message_values TEXT,              -- JSON array: the placeholders' values; NULL without any
    message_digest BLOB,              -- of the rendered message; NULL without placeholders
    code           TEXT NOT NULL DEFAULT '',
    detail         TEXT NOT NULL DEFAULT '',
    rid            TEXT,
    extra          TEXT
);

-- How many recipients there are in each state: what `status` shows, without a look at the recipients. It
-- changes with every commit that changes them. The people of an audience that was not expanded are in
-- it; intended ones are in it as pending.
CREATE TABLE recipient_count (
    state      INTEGER NOT NULL,      -- as a recipient's
    code       TEXT NOT NULL,         -- of those that are 3 to 6; else empty
    recipients INTEGER NOT NULL,
    last_at    REAL,                  -- when the last of them got there; NULL: by planning
    PRIMARY KEY (state, code)
) WITHOUT ROWID;

-- One row per group send; `state` is the name of a promomsg.states.GroupState.
-- An audience that was not expanded has no recipients here: its people are counted in the five
-- audience_ columns (only those named as failed become rows).
CREATE TABLE group_send (
    group_no           INTEGER PRIMARY KEY,
    state              TEXT NOT NULL DEFAULT 'planned',
    planned            INTEGER NOT NULL,
    message_values     TEXT,
    message_digest     BLOB,
    audience           TEXT,          -- JSON; NULL when the members are rows
    msg_id             TEXT,
    percent            INTEGER,
    send_cnt           INTEGER,
    fail_cnt           INTEGER,
    attempts           INTEGER NOT NULL DEFAULT 0,
    sent_at            REAL,
    next_poll_at       REAL,
    polls              INTEGER NOT NULL DEFAULT 0,
    code               TEXT NOT NULL DEFAULT '',
    detail             TEXT NOT NULL DEFAULT '',
    rid                TEXT,
    audience_pending   INTEGER NOT NULL DEFAULT 0,
    audience_sent      INTEGER NOT NULL DEFAULT 0,
    audience_failed    INTEGER NOT NULL DEFAULT 0,
    audience_unknown   INTEGER NOT NULL DEFAULT 0,
    audience_cancelled INTEGER NOT NULL DEFAULT 0,
    polls_at_100       INTEGER NOT NULL DEFAULT 0, -- polls that found it at 100
    given_up           INTEGER NOT NULL DEFAULT 0, -- 1: not polled any more until a resume
    warned_of_age      INTEGER NOT NULL DEFAULT 0, -- 1: it was said that its result can be had for a
                                                   -- day only
    followed_since     REAL           -- since when it is polled: accepted, or resumed; NULL: it is not
);

-- What is leased: the pending singles with `first_seq <= seq <= last_seq`, or one group.
CREATE TABLE chunk (
    chunk_no  INTEGER PRIMARY KEY,
    group_no  INTEGER,                -- NULL: singles
    first_seq INTEGER,
    last_seq  INTEGER,
    epoch     INTEGER NOT NULL DEFAULT 0, -- raised by every take: the fence
    deadline  REAL,                   -- of the lease; NULL: nobody holds it
    done      INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX chunk_open ON chunk (chunk_no) WHERE done = 0;
CREATE INDEX chunk_started ON chunk (chunk_no) WHERE done = 0 AND epoch > 0;
CREATE INDEX chunk_taken ON chunk (group_no IS NULL, chunk_no) WHERE epoch > 0;

-- One row (now and then some) per commit of the sender: how many singles it intended, and which rows
-- it made final, in order. The commit mark beside the journal is the last log_no.
CREATE TABLE commit_log (
    log_no             INTEGER PRIMARY KEY,
    intended_at        REAL,          -- when its singles were intended
    intended_day       TEXT,          -- the China-time day of that
    intended_singles   INTEGER,       -- how many
    intended_day_total INTEGER,       -- on that day so far, less those given back uncalled
    final_seqs         TEXT           -- JSON array of recipient.seq; -1: it stands further on again
);

-- Attempts that were taken back at the user's request (retry, reconcile).
CREATE TABLE attempt_history (
    seq          INTEGER NOT NULL,
    history_no   INTEGER NOT NULL,    -- 1 for the first one taken back
    up_to_log_no INTEGER NOT NULL,    -- commit_log.log_no when it was taken back
    state        INTEGER NOT NULL,
    attempts     INTEGER NOT NULL,
    code         TEXT NOT NULL,
    detail       TEXT NOT NULL,
    rid          TEXT,
    at           REAL,
    msg_id       TEXT,                -- of the group send, when it was one
    PRIMARY KEY (seq, history_no)
) WITHOUT ROWID;

-- What the provider counted of clicks for the sends of one China-time day, when it was asked last.
CREATE TABLE click_day (
    day        TEXT NOT NULL,         -- '2026-11-24'
    by_message INTEGER NOT NULL,      -- 1: each group send of the campaign; 0: all that the account sent
                                      -- of its message type
    asked_at   REAL NOT NULL,
    counts     TEXT NOT NULL,         -- JSON: [{"msg_id", "people", "clicks"}, …]
    PRIMARY KEY (day, by_message)
) WITHOUT ROWID;

-- Recipients with the names of their states: what to look at first.
CREATE VIEW outcomes AS
SELECT r.seq,
       r.key,
       CASE r.state WHEN 0 THEN 'pending' WHEN 1 THEN 'intended' WHEN 2 THEN 'sent'
                    WHEN 3 THEN 'failed' WHEN 4 THEN 'unknown' WHEN 5 THEN 'skipped'
                    ELSE 'cancelled' END AS state,
       r.code,
       r.detail,
       r.attempts,
       coalesce(g.msg_id, CAST(g.group_no AS TEXT)) AS msg_id,
       r.at,
       r.rid,
       r.id,
       r.openid,
       r.unionid,
       r.request_id,
       r.extra
FROM recipient r LEFT JOIN group_send g ON g.group_no = r.group_no;
