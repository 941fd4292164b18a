-- What fails a check waits with the field and the rule named, and can be corrected before it is tried again.

ALTER TABLE dead_letters
    ADD COLUMN field     text NOT NULL DEFAULT '',
    ADD COLUMN rule      text NOT NULL DEFAULT '',
    ADD COLUMN edit      jsonb,
    ADD COLUMN edited_by text NOT NULL DEFAULT '';
COMMENT ON COLUMN dead_letters.rule IS 'The rule that the field breaks, in the document''s word; empty when no rule is broken.';
COMMENT ON COLUMN dead_letters.edit IS 'Fields of the payload as a person corrected them: when the letter is redriven they count instead of what the system holds, as long as the system still holds the same.';
