-- A record may be made again more than once, and what refers to it may have been written at any of these times. A row from before has one
-- key in place of a list; it is read as a list of one.

COMMENT ON COLUMN entities.former_keys IS 'Of an entity that others may refer to: by system the keys of records there that are its records no more, the last one last, {"shop": ["P7", "P9"]}.';
