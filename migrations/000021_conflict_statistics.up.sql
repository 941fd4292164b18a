-- Conflicts are counted over a span of time.
CREATE INDEX conflicts_opened ON conflicts (tenant_id, opened_at);
