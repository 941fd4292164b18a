DROP TABLE lookup_counts;
DROP TABLE lookups;
