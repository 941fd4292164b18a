DROP TABLE workers, leases, runs, revisions, services, connections;
DROP FUNCTION add_counts(jsonb, jsonb);
