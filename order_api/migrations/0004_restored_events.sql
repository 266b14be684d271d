-- Transaction ids belong to one cluster. After a logical restore into another one, events and
-- cursors may carry ids that lie in its future: new events would be sorted before old ones, and
-- cursors would wait for ids that come months later. A visible row with such an id proves it.

CREATE FUNCTION events_of_another_cluster() RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT coalesce(greatest((SELECT max(tx) FROM order_events),
                             (SELECT max(tx) FROM subscriber_cursors))
                    >= pg_snapshot_xmax(pg_current_snapshot()), false)
$$;

CREATE OR REPLACE FUNCTION refuse_rewriting_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- set by adopt_restored_events() alone: the order of events, not what they say
    IF TG_OP = 'UPDATE' AND current_setting('valerix.adopting_events', true) = 'on' THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END
$$;

-- Gives restored events and cursors ids before any of this cluster, so that each cursor has the
-- same events behind and before it as when the dump was made. Only the position of an event among
-- the cursors counts for that: those that no cursor has passed get the highest number, those that
-- all have passed get 0. Returns how many events were changed; 0 where nothing has to be.
-- Writers of events need not wait for it, only subscribers do.
CREATE FUNCTION adopt_restored_events() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    last_restored bigint;
    adopted bigint;
BEGIN
    IF NOT events_of_another_cluster() THEN
        RETURN 0;
    END IF;
    LOCK TABLE subscriber_cursors IN EXCLUSIVE MODE;
    IF NOT events_of_another_cluster() THEN
        RETURN 0;  -- somebody else has done it meanwhile
    END IF;
    -- whatever this cluster has written since has higher numbers and keeps its ids
    SELECT coalesce(max(seq), 0) INTO last_restored FROM order_events
    WHERE tx >= pg_snapshot_xmax(pg_current_snapshot());
    PERFORM set_config('valerix.adopting_events', 'on', true);
    UPDATE order_events e SET tx = (SELECT count(*) FROM subscriber_cursors c
                                    WHERE (c.tx, c.seq) < (e.tx, e.seq))::text::xid8
    WHERE e.seq <= last_restored;
    GET DIAGNOSTICS adopted = ROW_COUNT;
    PERFORM set_config('valerix.adopting_events', 'off', true);
    UPDATE subscriber_cursors c SET seq = last_restored, updated_at = now(),
           tx = (SELECT count(*) FROM subscriber_cursors other
                 WHERE (other.tx, other.seq) < (c.tx, c.seq))::text::xid8;
    RETURN adopted;
END
$$;
