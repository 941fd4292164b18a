-- Money that a tenant has with us, and which invoices it paid.

CREATE TABLE credits (
    tenant_id       uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    id              uuid NOT NULL,
    amount          numeric(20, 2) NOT NULL CHECK (amount > 0),
    currency        text NOT NULL,
    reason          text NOT NULL,
    granted_at      timestamptz NOT NULL,
    granted_by      text NOT NULL,
    expires_at      timestamptz,
    withdrawn_at    timestamptz,
    withdrawn_why   text NOT NULL DEFAULT '',
    PRIMARY KEY (tenant_id, id)
);
COMMENT ON TABLE credits IS 'Credit granted to a tenant by an operator. Never changed but for being withdrawn; what is left follows from credit_uses.';
COMMENT ON COLUMN credits.expires_at IS 'It pays invoices of months that end until then; null: of any.';
COMMENT ON COLUMN credits.withdrawn_at IS 'From then on it pays nothing more; what it paid stays paid.';

CREATE TABLE credit_uses (
    tenant_id   uuid NOT NULL,
    credit_id   uuid NOT NULL,
    invoice_id  uuid NOT NULL,
    amount      numeric(20, 2) NOT NULL CHECK (amount > 0),
    PRIMARY KEY (tenant_id, credit_id, invoice_id),
    FOREIGN KEY (tenant_id, credit_id) REFERENCES credits ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, invoice_id) REFERENCES invoices ON DELETE CASCADE
);
CREATE INDEX credit_uses_invoice ON credit_uses (tenant_id, invoice_id);
COMMENT ON TABLE credit_uses IS 'What a credit pays of an invoice, computed with its lines. Those of a void invoice do not count.';

DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['credits', 'credit_uses'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY tenant ON %I TO syncline_app USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant())', t);
    END LOOP;
END
$$;
GRANT SELECT, INSERT, UPDATE (withdrawn_at, withdrawn_why) ON credits TO syncline_app;
GRANT SELECT, INSERT, DELETE ON credit_uses TO syncline_app;
