DROP INDEX held_changes_entity;
DROP INDEX deliveries_waiting;
ALTER TABLE deliveries DROP COLUMN waits, DROP COLUMN waits_for, DROP COLUMN waits_why;
