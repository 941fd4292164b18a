COMMENT ON COLUMN entities.former_keys IS 'Of an entity that others may refer to: by system the key of the last record there that is its record no more, {"shop": "P7"}.';
