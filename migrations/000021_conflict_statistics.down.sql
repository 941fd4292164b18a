DROP INDEX conflicts_opened;
