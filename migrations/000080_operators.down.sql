REVOKE SELECT ON subscriptions, credits, credit_uses FROM syncline_operator;
DROP POLICY operator ON credit_uses;
DROP POLICY operator ON credits;
DROP POLICY operator ON subscriptions;
DROP TABLE plan_versions;
DROP TABLE installation_log;
DROP TABLE operators;
