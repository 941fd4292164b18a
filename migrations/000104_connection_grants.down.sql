ALTER TABLE connection_tokens DROP COLUMN granted_at, DROP COLUMN granted_by, DROP COLUMN scopes;
DROP TABLE connection_authorizations;
