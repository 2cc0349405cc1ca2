-- The first shape of jr.db. A migration is one transaction and sets user_version last; it is never edited once released.
-- No table is STRICT and no statement uses RETURNING: SQLite 3.34, which long-lived distributions ship, can open this.

BEGIN IMMEDIATE;

-- `minted`: the last jid minted. `latest`: the latest master time seen. `ran`: seconds that masters have run on this file.
CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value
) WITHOUT ROWID;
INSERT INTO meta (name, value) VALUES ('minted', NULL), ('latest', 0.0), ('ran', 0.0);

-- One job. Its key is the jid packed to 9 bytes (17 with a suffix), which sort as the jids sort.
-- NULL stands for the default in metadata, timeout, grace, typed, args and kwargs.
CREATE TABLE job (
    jid BLOB PRIMARY KEY,
    function TEXT NOT NULL,
    user TEXT NOT NULL,
    schedule TEXT,
    published REAL NOT NULL,
    start_by REAL NOT NULL,
    done REAL,                           -- NULL while some pair is open
    ran REAL,                            -- meta.ran when it was done: its age is what has been added since
    dropped INTEGER NOT NULL DEFAULT 0,  -- 1 when values and output have been deleted
    counts BLOB,                         -- packed {state: pairs} of a done job
    pairs INTEGER NOT NULL,              -- how many it was published with
    timeout REAL,
    grace REAL,
    typed INTEGER,
    target_type TEXT NOT NULL,
    target TEXT NOT NULL,
    metadata BLOB,                       -- packed map
    args BLOB,
    kwargs BLOB
) WITHOUT ROWID;
CREATE INDEX job_open ON job (jid) WHERE done IS NULL;
CREATE INDEX job_age ON job (dropped, ran) WHERE done IS NOT NULL;
CREATE INDEX job_function ON job (function);
CREATE INDEX job_user ON job (user);
CREATE INDEX job_schedule ON job (schedule) WHERE schedule IS NOT NULL;

-- The states that a done job's pairs are in. A row per pair would cost an index update per step; this costs one per job.
CREATE TABLE job_state (
    state INTEGER NOT NULL,
    jid BLOB NOT NULL,
    PRIMARY KEY (state, jid)
) WITHOUT ROWID;

CREATE TABLE job_metadata (
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    jid BLOB NOT NULL,
    PRIMARY KEY (name, value, jid)
) WITHOUT ROWID;

-- One pair. `seen` is packed (pid, started), empty when the outcome says the same; `outcome` is packed, without value and output.
CREATE TABLE ledger (
    jid BLOB NOT NULL,
    minion TEXT NOT NULL,
    state INTEGER NOT NULL,
    expired INTEGER,
    seen BLOB,
    outcome BLOB,
    value BLOB,
    stdout BLOB,
    stderr BLOB,
    PRIMARY KEY (jid, minion)
) WITHOUT ROWID;
CREATE INDEX ledger_minion ON ledger (minion);

-- Jobs that are deleted while pairs of theirs still wait for it.
CREATE TABLE gone (jid BLOB PRIMARY KEY) WITHOUT ROWID;

CREATE TABLE stop (
    stop TEXT NOT NULL,
    minion TEXT NOT NULL,
    jid BLOB NOT NULL,
    how TEXT NOT NULL,
    signal INTEGER NOT NULL,
    grace REAL NOT NULL,
    by TEXT NOT NULL,
    at REAL NOT NULL,
    PRIMARY KEY (stop, minion)
) WITHOUT ROWID;

CREATE TABLE minion (
    key TEXT PRIMARY KEY,
    id TEXT NOT NULL,
    state TEXT NOT NULL,
    filed REAL NOT NULL,
    version TEXT NOT NULL,
    last_seen REAL,
    start INTEGER NOT NULL,
    connection INTEGER NOT NULL,
    facts BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE token (
    digest TEXT PRIMARY KEY,
    expires REAL NOT NULL,
    minion TEXT
) WITHOUT ROWID;

PRAGMA user_version = 1;

COMMIT;
