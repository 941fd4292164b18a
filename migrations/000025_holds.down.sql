DROP TABLE brakes, held_changes, holds;
