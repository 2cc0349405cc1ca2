-- What is said to SQLite about the file and the connection, and what a file is asked before it is trusted.

-- name: create_file
-- Properties that only an empty file can take: pages are given back by small steps, and the file says whose it is.
PRAGMA page_size = 4096;
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA application_id = 0x6A725354;

-- name: tune_writer
-- Durable at each commit. Deleted text is zeroed where that costs no further page. The write-ahead log is folded back at 4 MiB
-- and cut to 16 MiB after a burst.
PRAGMA synchronous = FULL;
PRAGMA secure_delete = FAST;
PRAGMA cache_size = -16000;
PRAGMA wal_autocheckpoint = 1000;
PRAGMA journal_size_limit = 16777216;
PRAGMA foreign_keys = OFF;
PRAGMA trusted_schema = OFF;

-- name: tune_for_small_disk
-- Fold the log back at 128 KiB: on a full disk the file must grow by what the log holds before the log can shrink.
PRAGMA wal_autocheckpoint = 32;
PRAGMA journal_size_limit = 131072;

-- name: tune_reader
-- A reader never writes, whatever it is asked.
PRAGMA query_only = ON;
PRAGMA cache_size = -2000;
PRAGMA trusted_schema = OFF;

-- name: use_log
-- Switch to the write-ahead log; answers `wal` when the file system can do it.
PRAGMA journal_mode = WAL;

-- name: begin_read
-- All reads until the end see one moment.
BEGIN;

-- name: begin_write
-- Take the write lock at once, so that nothing fails half-way for want of it.
BEGIN IMMEDIATE;

-- name: commit
-- Durable when this returns.
COMMIT;

-- name: rollback
-- As if nothing had been written.
ROLLBACK;

-- name: application
-- Whose file this is.
PRAGMA application_id;

-- name: version
-- The number of the last migration that was applied.
PRAGMA user_version;

-- name: page_count
-- Pages in the file.
PRAGMA page_count;

-- name: check_whole
-- Look at every page, and stop at the first fault; `ok` when there is none.
PRAGMA quick_check(1);

-- name: check_minion
-- The same for the keys alone: few pages, and nobody may be let in by a damaged one.
PRAGMA quick_check(minion);

-- name: check_tables
-- Touch both ends of the big tables and every small one; fails where a table is not there or its pages are damaged.
SELECT (SELECT count(value) FROM meta), (SELECT min(jid) FROM job), (SELECT max(jid) FROM job),
       (SELECT min(state) FROM job_state), (SELECT min(name) FROM job_metadata), (SELECT min(jid) FROM ledger),
       (SELECT max(jid) FROM ledger), (SELECT min(minion) FROM ledger), (SELECT count(*) FROM stop),
       (SELECT count(*) FROM minion), (SELECT count(*) FROM token), (SELECT min(jid) FROM gone);

-- name: checkpoint
-- Fold the write-ahead log into the file and cut it to nothing.
PRAGMA wal_checkpoint(TRUNCATE);
