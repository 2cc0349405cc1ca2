-- What tells two hosts that share a key from one that comes back.

BEGIN IMMEDIATE;

ALTER TABLE minion ADD COLUMN boot_id TEXT NOT NULL DEFAULT '';
ALTER TABLE minion ADD COLUMN highest INTEGER NOT NULL DEFAULT 0;
ALTER TABLE minion ADD COLUMN strange INTEGER NOT NULL DEFAULT 0;
ALTER TABLE minion ADD COLUMN reason TEXT NOT NULL DEFAULT '';

PRAGMA user_version = 3;

COMMIT;
