DROP TABLE events, idempotency_keys, audit_heads, audit_log, secrets, api_keys, invitations, members, sessions, users, tenants;
