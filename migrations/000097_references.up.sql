-- Which record refers to which, so that parents find their children and children the parents that come later.

CREATE TABLE entity_references (
    tenant_id    uuid NOT NULL,
    service_id   uuid NOT NULL,
    entity_id    uuid NOT NULL,
    field        text NOT NULL,
    parent_id    uuid,
    system       text NOT NULL DEFAULT '',
    object       text NOT NULL DEFAULT '',
    key          text NOT NULL DEFAULT '',
    PRIMARY KEY (tenant_id, service_id, entity_id, field),
    FOREIGN KEY (tenant_id, service_id, entity_id) REFERENCES entities ON DELETE CASCADE
);
CREATE INDEX entity_references_parent ON entity_references (tenant_id, service_id, parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX entity_references_missing ON entity_references (tenant_id, service_id, system, object, key) WHERE parent_id IS NULL;
COMMENT ON TABLE entity_references IS 'Fields of entities that refer to other records, as the entity has them now. Derived from entities.fields in the same commit.';
COMMENT ON COLUMN entity_references.parent_id IS 'The entity referred to; null while it is not known.';
COMMENT ON COLUMN entity_references.key IS 'With system and object: how the system names a record that is not known yet.';

ALTER TABLE entity_references ENABLE ROW LEVEL SECURITY;
ALTER TABLE entity_references FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON entity_references TO syncline_app USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
GRANT SELECT, INSERT, UPDATE, DELETE ON entity_references TO syncline_app;
CREATE INDEX dead_letters_reference ON dead_letters (tenant_id, service_id) WHERE state = 'open' AND direction = 'in' AND code = 'reference.missing';
