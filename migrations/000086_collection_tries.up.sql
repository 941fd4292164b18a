-- How collecting an invoice goes: what was tried, why it failed, and when it is tried next.

ALTER TABLE collections
    ADD COLUMN tries integer NOT NULL DEFAULT 0,
    ADD COLUMN failed_at timestamptz,
    ADD COLUMN next_at timestamptz,
    ADD COLUMN sent_at timestamptz,
    ADD COLUMN payments integer NOT NULL DEFAULT 0,
    ADD COLUMN failure text NOT NULL DEFAULT '',
    ADD COLUMN next_payment_at timestamptz;
COMMENT ON COLUMN collections.problem IS 'For people: why we could not bring it to the provider, or why a person must look.';
COMMENT ON COLUMN collections.tries IS 'Tries of ours that failed one after the other; 0 once one worked.';
COMMENT ON COLUMN collections.failed_at IS 'When the last of them failed.';
COMMENT ON COLUMN collections.next_at IS 'When we try again; null: nothing is to be tried.';
COMMENT ON COLUMN collections.sent_at IS 'When the customer could pay at first.';
COMMENT ON COLUMN collections.payments IS 'How often the provider tried to collect.';
COMMENT ON COLUMN collections.failure IS 'Why the customer''s last payment failed, in the provider''s words; empty: it did not.';
COMMENT ON COLUMN collections.next_payment_at IS 'When the provider tries to collect again.';
