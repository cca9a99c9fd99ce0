-- Each entry of the audit log is hashed with the one before it in its chain (chain.rs). Of one chain all writers would
-- wait for one another until the end of their transactions, disk and all: each transaction takes a chain that no other
-- is at the end of, and never waits. What is from before has no hash.
ALTER TABLE audit ADD COLUMN chain BIGINT, ADD COLUMN link BIGINT, ADD COLUMN hash BYTEA;
-- Whatever goes wrong, no chain has two ends.
CREATE UNIQUE INDEX audit_link ON audit (chain, link) WHERE chain IS NOT NULL;
INSERT INTO setting (name, value) SELECT 'audit_start', coalesce(max(seq), 0)::text FROM audit;

CREATE FUNCTION audit_link() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    -- Where this transaction's chain ends, as `chain link hash`.
    mine TEXT := current_setting('videorec.audit', true);
    former BYTEA;
BEGIN
    IF mine IS NULL OR mine = '' THEN
        NEW.chain := 0;
        WHILE NOT pg_try_advisory_xact_lock(1448232261, NEW.chain::int) LOOP
            NEW.chain := NEW.chain + 1;
        END LOOP;
        -- A statement of its own: it sees what the one before us has committed.
        SELECT a.link, a.hash INTO NEW.link, former FROM audit a
        WHERE a.chain = NEW.chain ORDER BY a.link DESC LIMIT 1;
    ELSE
        NEW.chain := split_part(mine, ' ', 1);
        NEW.link := split_part(mine, ' ', 2);
        former := decode(split_part(mine, ' ', 3), 'hex');
    END IF;
    NEW.link := coalesce(NEW.link, 0) + 1;
    NEW.hash := sha256(coalesce(former, '') || convert_to(concat(
        NEW.seq, ':', NEW.at, ':', octet_length(NEW.actor), ':', NEW.actor, octet_length(NEW.what), ':', NEW.what,
        coalesce(octet_length(NEW.recording), 0), ':', NEW.recording, octet_length(NEW.details), ':', NEW.details),
        'UTF8'));
    PERFORM set_config('videorec.audit', concat(NEW.chain, ' ', NEW.link, ' ', encode(NEW.hash, 'hex')), true);
    RETURN NEW;
END
$$;
CREATE TRIGGER audit_link BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION audit_link();
ALTER TABLE audit ENABLE ALWAYS TRIGGER audit_link;
