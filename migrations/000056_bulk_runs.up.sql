-- Runs that read records again, beside the stream of changes.
ALTER TABLE runs DROP CONSTRAINT runs_kind_check;
ALTER TABLE runs ADD CONSTRAINT runs_kind_check CHECK (kind IN ('first', 'scheduled', 'manual', 'bulk', 'records'));

CREATE TABLE run_selections (
    tenant_id uuid NOT NULL,
    run_id    uuid NOT NULL,
    selection jsonb NOT NULL,
    place     jsonb,
    PRIMARY KEY (tenant_id, run_id),
    FOREIGN KEY (tenant_id, run_id) REFERENCES runs ON DELETE CASCADE
);
COMMENT ON TABLE run_selections IS 'Which records a run of the kinds bulk and records reads, and where it stands.';
COMMENT ON COLUMN run_selections.place IS 'Written in the commit of the page that it covers, so that the run goes on there after a crash.';
ALTER TABLE run_selections ENABLE ROW LEVEL SECURITY;
ALTER TABLE run_selections FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON run_selections TO syncline_app USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
GRANT SELECT, INSERT, UPDATE, DELETE ON run_selections TO syncline_app;
