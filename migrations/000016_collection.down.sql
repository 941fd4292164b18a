DROP TABLE collection_events, collections;
ALTER TABLE credit_notes DROP COLUMN external_id;
ALTER TABLE billing_accounts DROP COLUMN customer;
