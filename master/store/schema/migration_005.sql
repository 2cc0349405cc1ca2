-- Secrets of open jobs, in a table of their own: it is nearly always empty, so a deletion frees whole pages, which are
-- overwritten; and no list of jobs reads past them.

BEGIN IMMEDIATE;

CREATE TABLE secret (
    jid BLOB PRIMARY KEY,
    packed BLOB NOT NULL                 -- packed map of argument names to values
) WITHOUT ROWID;

PRAGMA user_version = 5;

COMMIT;
