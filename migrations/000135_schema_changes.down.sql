DROP TABLE schema_changes;
DROP TABLE object_shapes;
