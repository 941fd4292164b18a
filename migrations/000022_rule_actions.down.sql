DROP TABLE rule_seen, rule_actions;
