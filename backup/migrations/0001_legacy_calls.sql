-- The legacy backup service accepts one call for each UTC date. A row claims that call: it is
-- committed before the first byte of the call is sent, and there is no second row for a date.

CREATE TABLE legacy_calls (
    day            date PRIMARY KEY,
    claim_id       uuid NOT NULL UNIQUE,
    state          text NOT NULL,
    -- null where the date is spent without a capsule of ours: nobody could say what was called
    capsule_sha256 text,
    -- cluster and timeline that the claim was written in: another one now means a restore since
    lineage        text NOT NULL,
    claimed_at     timestamptz NOT NULL,
    ended_at       timestamptz,
    detail         text NOT NULL DEFAULT '',
    CONSTRAINT legacy_call_state CHECK (state IN ('claimed', 'done', 'refused', 'unknown')),
    CONSTRAINT legacy_call_digest CHECK (capsule_sha256 ~ '^[0-9a-f]{64}$'),
    CONSTRAINT legacy_call_end CHECK ((state = 'claimed') = (ended_at IS NULL))
);

-- A claim is for ever. What is known of its call may grow: claimed, then unknown, then done or
-- refused, if whoever made the call still learns it.
CREATE FUNCTION keep_legacy_claim() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'UPDATE' THEN
        RAISE EXCEPTION 'a claim of a legacy call is for ever' USING ERRCODE = 'restrict_violation';
    END IF;
    IF (NEW.day, NEW.claim_id, NEW.capsule_sha256, NEW.lineage, NEW.claimed_at)
       IS DISTINCT FROM (OLD.day, OLD.claim_id, OLD.capsule_sha256, OLD.lineage, OLD.claimed_at)
       OR OLD.state IN ('done', 'refused') OR NEW.state = 'claimed' THEN
        RAISE EXCEPTION 'a claim of a legacy call does not change' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER legacy_claims_stay BEFORE UPDATE OR DELETE ON legacy_calls
    FOR EACH ROW EXECUTE FUNCTION keep_legacy_claim();
CREATE TRIGGER legacy_claims_stay_all BEFORE TRUNCATE ON legacy_calls
    FOR EACH STATEMENT EXECUTE FUNCTION keep_legacy_claim();
