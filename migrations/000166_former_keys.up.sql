-- A record that refers to one which is gone names it by a key that nobody has any more. That this is still the same reference is known from
-- the key which the record had.

ALTER TABLE entities ADD COLUMN former_keys jsonb;
COMMENT ON COLUMN entities.former_keys IS 'Of an entity that others may refer to: by system the key of the last record there that is its record no more, {"shop": "P7"}.';
