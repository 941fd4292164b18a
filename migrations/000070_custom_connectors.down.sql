DROP TABLE custom_connector_versions;
DROP TABLE custom_connectors;
