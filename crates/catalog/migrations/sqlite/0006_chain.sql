-- Each entry of the audit log is hashed with the one before it (chain.rs). What is from before has no hash.
ALTER TABLE audit ADD COLUMN hash BLOB;
INSERT INTO setting (name, value) SELECT 'audit_start', coalesce(max(seq), 0) FROM audit;
CREATE TRIGGER audit_no_loose_end BEFORE INSERT ON audit WHEN NEW.hash IS NULL
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only, and every entry has its hash'); END;
