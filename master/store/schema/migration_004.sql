-- By which key each minion last proved, or confirmed, to know its master. NULL until it has.

BEGIN IMMEDIATE;

ALTER TABLE minion ADD COLUMN trusts TEXT;

PRAGMA user_version = 4;

COMMIT;
