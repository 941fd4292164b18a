-- Deliveries that wait for more than their turn: for a person, for people to have done typing, for another record.

ALTER TABLE deliveries
    ADD COLUMN waits text NOT NULL DEFAULT '' CHECK (waits IN ('', 'hold', 'quiet', 'reference')),
    ADD COLUMN waits_for uuid,
    ADD COLUMN waits_why text NOT NULL DEFAULT '';
CREATE INDEX deliveries_waiting ON deliveries (tenant_id, service_id, waits_for) WHERE waits_for IS NOT NULL;
COMMENT ON COLUMN deliveries.waits IS 'hold: a change of the record in that system waits for a person; quiet: people may still be typing; reference: a record that it refers to is not there yet; empty: its turn. due_at is when it is looked at again at the latest.';
COMMENT ON COLUMN deliveries.waits_for IS 'Of reference: the entity that it waits for, where it is known. Its link in the system makes the delivery due.';
COMMENT ON COLUMN deliveries.waits_why IS 'What it waits for, one sentence for people; empty where waits says all.';
CREATE INDEX held_changes_entity ON held_changes (tenant_id, service_id, system, entity_id) WHERE entity_id IS NOT NULL;
