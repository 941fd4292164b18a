ALTER TABLE collections DROP COLUMN tries, DROP COLUMN failed_at, DROP COLUMN next_at, DROP COLUMN sent_at, DROP COLUMN payments, DROP COLUMN failure, DROP COLUMN next_payment_at;
COMMENT ON COLUMN collections.problem IS NULL;
