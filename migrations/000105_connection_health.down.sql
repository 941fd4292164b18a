DROP TABLE connection_spells;
DROP TABLE connection_health;
