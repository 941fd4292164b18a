-- Undo finds what a run, a person or a key changed.
CREATE INDEX journal_run ON journal (tenant_id, cause, id) WHERE kind = 'change' AND cause IS NOT NULL;
CREATE INDEX journal_actor ON journal (tenant_id, service_id, actor, id) WHERE actor <> '';
COMMENT ON INDEX journal_run IS 'What came in while a run was open. A realtime service has a run only at first, so there is little in it.';
