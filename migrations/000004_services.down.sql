DROP TABLE workers, leases, runs, revisions, services, connections;
