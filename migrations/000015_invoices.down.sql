DROP POLICY operator ON invoices;
REVOKE SELECT ON invoices FROM syncline_operator;
DROP TABLE billing_accounts, credit_notes, invoice_adjustments;
DELETE FROM invoice_lines WHERE kind IN ('late', 'adjustment');
ALTER TABLE invoice_lines DROP COLUMN kind, DROP COLUMN period, DROP COLUMN part_from, DROP COLUMN part_to, DROP COLUMN review, DROP COLUMN reason, DROP COLUMN author;
ALTER TABLE invoices
    DROP CONSTRAINT invoices_numbered,
    DROP COLUMN number, DROP COLUMN flags, DROP COLUMN closed_at, DROP COLUMN approved_at, DROP COLUMN approved_by, DROP COLUMN approved_name,
    DROP COLUMN finalized_at, DROP COLUMN settled_at, DROP COLUMN settlement, DROP COLUMN credited;
DROP INDEX IF EXISTS invoices_state;
