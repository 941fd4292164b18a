DROP INDEX dead_letters_reference;
DROP TABLE entity_references;
