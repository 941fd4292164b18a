-- What agreements come to stays as it was corrected.
SELECT 1;
