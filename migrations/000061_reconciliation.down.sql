DROP TABLE discrepancies;
DROP TABLE reconciliations;
