DROP INDEX journal_run, journal_actor;
