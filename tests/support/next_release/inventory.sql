-- What a release to come would make of the inventory database: goods that come back, and orders
-- that queue for what is sold out. Additive, so that this release goes on beside it.

ALTER TABLE movements DROP CONSTRAINT movements_operation_check;
ALTER TABLE movements DROP CONSTRAINT movement_has_its_cause;
ALTER TABLE movements ADD CONSTRAINT movements_operation_check CHECK (operation IN
    ('reserve', 'commit', 'release', 'restock', 'initial', 'return'));
ALTER TABLE movements ADD COLUMN reported_by text;
ALTER TABLE reservations DROP CONSTRAINT reservations_state_check;
ALTER TABLE reservations ADD CONSTRAINT reservations_state_check CHECK (state IN
    ('held', 'committed', 'released', 'refused', 'queued'));
ALTER TABLE reservations ADD COLUMN place_in_queue int;
