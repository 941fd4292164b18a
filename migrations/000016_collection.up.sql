-- Collecting money through a payment provider: what was brought there, and what became of it.

ALTER TABLE billing_accounts ADD COLUMN customer text NOT NULL DEFAULT '';
COMMENT ON COLUMN billing_accounts.customer IS 'The tenant''s id at the payment provider; empty: not known there yet.';

ALTER TABLE credit_notes ADD COLUMN external_id text NOT NULL DEFAULT '';
COMMENT ON COLUMN credit_notes.external_id IS 'Its id at the payment provider.';

CREATE TABLE collections (
    tenant_id    uuid NOT NULL,
    invoice_id   uuid NOT NULL,
    external_id  text NOT NULL DEFAULT '',
    state        text NOT NULL CHECK (state IN ('waiting', 'sent', 'refused', 'settled')),
    url          text NOT NULL DEFAULT '',
    problem      text NOT NULL DEFAULT '',
    refunded     numeric(20, 2) NOT NULL DEFAULT 0,
    dispute      text NOT NULL DEFAULT '',
    updated_at   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, invoice_id),
    FOREIGN KEY (tenant_id, invoice_id) REFERENCES invoices ON DELETE CASCADE
);
COMMENT ON TABLE collections IS 'What the payment provider has of an invoice. It is read there again whenever anything is heard, so neither the order nor the repetition of messages matters.';
COMMENT ON COLUMN collections.state IS 'waiting: not there yet; sent: waits for the customer; refused: a person must look, see problem; settled: nothing more is expected.';
COMMENT ON COLUMN collections.url IS 'Where the customer pays.';
COMMENT ON COLUMN collections.dispute IS 'The provider''s word for how a dispute stands; empty: none.';

CREATE TABLE collection_events (
    tenant_id  uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    id         text NOT NULL,
    type       text NOT NULL,
    heard_at   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
COMMENT ON TABLE collection_events IS 'Messages of the payment provider that were taken, so that each counts once. Kept for 90 days.';
CREATE INDEX collection_events_age ON collection_events (heard_at);

DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['collections', 'collection_events'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY tenant ON %I TO syncline_app USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant())', t);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE ON %I TO syncline_app', t);
        EXECUTE format('CREATE POLICY operator ON %I TO syncline_operator USING (true) WITH CHECK (true)', t);
    END LOOP;
END
$$;
-- Looking for invoices that nobody brought to the provider yet, and dropping old messages.
GRANT SELECT ON collections TO syncline_operator;
GRANT SELECT, DELETE ON collection_events TO syncline_operator;
