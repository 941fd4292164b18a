-- The life of an invoice: closed periods, review, adjustments, approval, numbers, credit notes.

ALTER TABLE invoices
    ADD COLUMN number           bigint CHECK (number > 0),
    ADD COLUMN flags            jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN closed_at        timestamptz,
    ADD COLUMN approved_at      timestamptz,
    ADD COLUMN approved_by      text NOT NULL DEFAULT '',
    ADD COLUMN approved_name    text NOT NULL DEFAULT '',
    ADD COLUMN finalized_at     timestamptz,
    ADD COLUMN settled_at       timestamptz,
    ADD COLUMN settlement       text NOT NULL DEFAULT '',
    ADD COLUMN credited         numeric(20, 2) NOT NULL DEFAULT 0,
    ADD CONSTRAINT invoices_numbered CHECK ((state = 'draft') OR approved_at IS NULL OR number IS NOT NULL);
CREATE UNIQUE INDEX invoices_number ON invoices (tenant_id, number) WHERE number IS NOT NULL;
CREATE INDEX invoices_state ON invoices (tenant_id, state, period);
COMMENT ON COLUMN invoices.number IS 'Given when the invoice is finalized, 1, 2, 3 ... per tenant, without gaps; see billing_accounts.';
COMMENT ON COLUMN invoices.flags IS 'What a reviewer should look at: [{"code", "text"}], computed with the lines.';
COMMENT ON COLUMN invoices.closed_at IS 'When the period was closed: its end and the grace window for late usage had passed.';
COMMENT ON COLUMN invoices.approved_at IS 'From here on the lines are as approved and are not computed again.';
COMMENT ON COLUMN invoices.settled_at IS 'When it was paid, voided or given up.';
COMMENT ON COLUMN invoices.settlement IS 'Why it was voided or given up, or how it was paid.';
COMMENT ON COLUMN invoices.credited IS 'The sum of its issued credit notes.';

ALTER TABLE invoice_lines
    ADD COLUMN kind      text NOT NULL DEFAULT 'usage',
    ADD COLUMN period    text NOT NULL DEFAULT '',
    ADD COLUMN part_from timestamptz,
    ADD COLUMN part_to   timestamptz,
    ADD COLUMN review    text NOT NULL DEFAULT '',
    ADD COLUMN reason    text NOT NULL DEFAULT '',
    ADD COLUMN author    text NOT NULL DEFAULT '';
COMMENT ON COLUMN invoice_lines.kind IS 'usage, fee, addon, minimum, cap, discount, credit as rating makes them; late and adjustment as reviewing does.';
COMMENT ON COLUMN invoice_lines.part_from IS 'With part_to: the part of the month that the line is about, where its plan changed within it; null for all of it.';
COMMENT ON COLUMN invoice_lines.review IS 'What a person should look at before the invoice goes out.';
COMMENT ON COLUMN invoice_lines.period IS 'The month whose usage the line charges; empty: that of the invoice. Late usage of a closed month is a line of a later invoice.';
COMMENT ON COLUMN invoice_lines.author IS 'Of an adjustment: who made it.';

CREATE TABLE invoice_adjustments (
    tenant_id    uuid NOT NULL,
    id           uuid NOT NULL,
    invoice_id   uuid NOT NULL,
    title        text NOT NULL,
    reason       text NOT NULL,
    amount       numeric(20, 2) NOT NULL CHECK (amount <> 0),
    actor        text NOT NULL,
    actor_name   text NOT NULL,
    person       text NOT NULL,
    created_at   timestamptz NOT NULL,
    removed_at   timestamptz,
    removed_by   text NOT NULL DEFAULT '',
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, invoice_id) REFERENCES invoices ON DELETE CASCADE
);
CREATE INDEX invoice_adjustments_invoice ON invoice_adjustments (tenant_id, invoice_id, id);
COMMENT ON TABLE invoice_adjustments IS 'What people added to or took off a draft. A removed one stays, so that nobody approves what they had a hand in.';
COMMENT ON COLUMN invoice_adjustments.person IS 'The member behind it: for an API key, whoever made the key.';

CREATE TABLE credit_notes (
    tenant_id     uuid NOT NULL,
    id            uuid NOT NULL,
    invoice_id    uuid NOT NULL,
    number        bigint CHECK (number > 0),
    state         text NOT NULL CHECK (state IN ('draft', 'issued', 'discarded')),
    amount        numeric(20, 2) NOT NULL CHECK (amount > 0),
    currency      text NOT NULL,
    reason        text NOT NULL,
    actor         text NOT NULL,
    actor_name    text NOT NULL,
    person        text NOT NULL,
    created_at    timestamptz NOT NULL,
    decided_at    timestamptz,
    decided_by    text NOT NULL DEFAULT '',
    decided_name  text NOT NULL DEFAULT '',
    version       bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, invoice_id) REFERENCES invoices ON DELETE CASCADE,
    CHECK ((state = 'issued') = (number IS NOT NULL))
);
CREATE UNIQUE INDEX credit_notes_number ON credit_notes (tenant_id, number) WHERE number IS NOT NULL;
CREATE INDEX credit_notes_invoice ON credit_notes (tenant_id, invoice_id, id);
COMMENT ON TABLE credit_notes IS 'What is taken back of an invoice that was issued; one person writes it, another issues it.';

CREATE TABLE billing_accounts (
    tenant_id       uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    closed_through  text NOT NULL DEFAULT '' CHECK (closed_through ~ '^(\d{4}-\d{2})?$'),
    invoices        bigint NOT NULL DEFAULT 0,
    credit_notes    bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id)
);
COMMENT ON TABLE billing_accounts IS 'Where a tenant''s billing stands. Its row lock puts closing, approving, numbering, voiding and crediting of one tenant in order; nothing that meters takes it.';
COMMENT ON COLUMN billing_accounts.closed_through IS 'The last month that was closed; empty: none yet.';
COMMENT ON COLUMN billing_accounts.invoices IS 'How many numbers were given; the next invoice has the next.';

DO $$
DECLARE
    t text;
BEGIN
    FOREACH t IN ARRAY ARRAY['invoice_adjustments', 'credit_notes', 'billing_accounts'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('CREATE POLICY tenant ON %I TO syncline_app USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant())', t);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE ON %I TO syncline_app', t);
    END LOOP;
END
$$;

-- Closing looks across tenants for those whose month is over, and the operators' overview sums their invoices.
CREATE POLICY operator ON billing_accounts TO syncline_operator USING (true) WITH CHECK (true);
CREATE POLICY operator ON invoices TO syncline_operator USING (true) WITH CHECK (true);
GRANT SELECT ON billing_accounts, invoices TO syncline_operator;
