-- What became of the planned runs of all schedules, and what the master's own schedule must remember.

BEGIN IMMEDIATE;

-- One verdict, or one on a whole stretch of runs. The row id grows as rows come, and so does `ran`: retention needs no index.
CREATE TABLE occurrence (
    id INTEGER PRIMARY KEY,
    minion TEXT NOT NULL,                -- `master` for the master's own schedule
    schedule TEXT NOT NULL,
    planned REAL NOT NULL,
    attempt INTEGER NOT NULL,
    last REAL NOT NULL,                  -- the last planned time of a stretch, else `planned`
    verdict INTEGER NOT NULL,
    at REAL NOT NULL,
    ran REAL NOT NULL,                   -- meta.ran when it came: its age is what has been added since
    jid BLOB,
    more BLOB                            -- packed map of what is not at its default
);
CREATE UNIQUE INDEX occurrence_key ON occurrence (minion, schedule, planned, attempt);
CREATE INDEX occurrence_last ON occurrence (last);
CREATE INDEX occurrence_schedule ON occurrence (schedule, last);
CREATE INDEX occurrence_minion ON occurrence (minion, last);

-- Standings of the master's own entries, its hold, and what was changed at run time: the store does not look into them.
CREATE TABLE kept (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (kind, name)
) WITHOUT ROWID;

PRAGMA user_version = 6;

COMMIT;
