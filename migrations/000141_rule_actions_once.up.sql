-- A rule acts once for as long as its record meets it, what it wants done is taken up by one alone, and marks are in the history.

ALTER TABLE rule_actions
    ADD COLUMN targets   jsonb,
    ADD COLUMN taken_at  timestamptz,
    ADD COLUMN taken_by  text NOT NULL DEFAULT '',
    ADD COLUMN taker     text NOT NULL DEFAULT '',
    ADD COLUMN reference text NOT NULL DEFAULT '',
    ADD COLUMN lapsed_at timestamptz;
COMMENT ON COLUMN rule_actions.targets IS 'The systems that the rule names as its target.';
COMMENT ON COLUMN rule_actions.taken_at IS 'Since when somebody is at it.';
COMMENT ON COLUMN rule_actions.taker IS 'The id of the person or key that is at it; taken_by is its name.';
COMMENT ON COLUMN rule_actions.reference IS 'What came of it, in the words of who did it: an invoice''s number.';
COMMENT ON COLUMN rule_actions.lapsed_at IS 'Since when the record no longer meets the rule; null while it does.';
COMMENT ON COLUMN rule_actions.state IS 'wanted: waits for who takes it up. taken: somebody is at it. done: noted, marked, or done by who took it up. open: waits for a person. lapsed: the record no longer meets the rule.';

ALTER TABLE rule_actions DROP CONSTRAINT rule_actions_state_check;
ALTER TABLE rule_actions ADD CONSTRAINT rule_actions_state_check CHECK (state IN ('wanted', 'taken', 'done', 'open', 'approved', 'rejected', 'lapsed')) NOT VALID;

-- Of what a rule did with a record before only the last can still stand; whether it does is seen when the record changes next.
UPDATE rule_actions a SET lapsed_at = coalesce(a.decided_at, a.at)
WHERE a.state = 'lapsed' OR a.other_id IS NULL AND EXISTS (SELECT FROM rule_actions b WHERE b.tenant_id = a.tenant_id AND b.service_id = a.service_id
  AND b.entity_id = a.entity_id AND b.rule = a.rule AND b.other_id IS NULL AND b.state <> 'lapsed' AND (b.state = 'open', b.id) > (a.state = 'open', a.id));
CREATE UNIQUE INDEX rule_actions_standing ON rule_actions (tenant_id, service_id, entity_id, rule) WHERE lapsed_at IS NULL AND other_id IS NULL;
CREATE INDEX rule_actions_entity ON rule_actions (tenant_id, service_id, entity_id, id);

ALTER TABLE journal DROP CONSTRAINT journal_op_check;
ALTER TABLE journal ADD CONSTRAINT journal_op_check CHECK (op IN ('create', 'update', 'delete', 'link', 'unlink', 'freeze', 'thaw', 'reconcile', 'unreconcile')) NOT VALID;
