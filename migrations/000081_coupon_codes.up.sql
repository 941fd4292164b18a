-- Coupons that customers redeem by a code, and what a tenant's agreement costs by the month.

CREATE TABLE coupon_codes (
    code             text PRIMARY KEY,
    title            text NOT NULL,
    percent          numeric(7, 4) NOT NULL DEFAULT 0,
    amount           numeric(20, 2) NOT NULL DEFAULT 0,
    currency         text NOT NULL DEFAULT '',
    months           int NOT NULL,
    plans            text[] NOT NULL DEFAULT '{}',
    max_redemptions  int NOT NULL DEFAULT 0,
    max_per_tenant   int NOT NULL DEFAULT 1,
    valid_from       timestamptz NOT NULL,
    valid_until      timestamptz,
    redeemed         int NOT NULL DEFAULT 0,
    created_at       timestamptz NOT NULL,
    created_by       text NOT NULL,
    reason           text NOT NULL,
    ended_at         timestamptz,
    CHECK (max_redemptions = 0 OR redeemed <= max_redemptions)
);
COMMENT ON TABLE coupon_codes IS 'Codes that operators hand out. Which tenant redeemed which is in coupon_redemptions.';
COMMENT ON COLUMN coupon_codes.months IS 'For how many months'' invoices, that of the redemption first; 0 for ever.';
COMMENT ON COLUMN coupon_codes.max_redemptions IS 'By all tenants together; 0 is any number. Like max_per_tenant.';
COMMENT ON COLUMN coupon_codes.redeemed IS 'Counted under the row''s lock by the commit that redeems, so that the last one is redeemed once.';
ALTER TABLE coupon_codes ENABLE ROW LEVEL SECURITY;
ALTER TABLE coupon_codes FORCE ROW LEVEL SECURITY;
CREATE POLICY operator ON coupon_codes TO syncline_operator USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE ON coupon_codes TO syncline_operator;

CREATE TABLE coupon_redemptions (
    tenant_id    uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    code         text NOT NULL,
    coupon       text NOT NULL,
    redeemed_at  timestamptz NOT NULL,
    redeemed_by  text NOT NULL,
    PRIMARY KEY (tenant_id, code, coupon)
);
COMMENT ON COLUMN coupon_redemptions.coupon IS 'The id that the coupon has in the tenant''s agreements and on its invoices.';
ALTER TABLE coupon_redemptions ENABLE ROW LEVEL SECURITY;
ALTER TABLE coupon_redemptions FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON coupon_redemptions TO syncline_app USING (tenant_id = current_tenant()) WITH CHECK (tenant_id = current_tenant());
GRANT SELECT, INSERT ON coupon_redemptions TO syncline_app;

-- What a month costs whatever is used: the base of recurring revenue.
ALTER TABLE subscriptions ADD COLUMN recurring numeric(20, 2) NOT NULL DEFAULT 0, ADD COLUMN currency text NOT NULL DEFAULT 'usd';
COMMENT ON COLUMN subscriptions.recurring IS 'What a whole month under the agreement costs without any usage, before coupons: fees, add-ons, the plan''s minimum.';
UPDATE subscriptions s SET currency = s.plan->'card'->>'currency', recurring = round(greatest(coalesce((s.plan->'card'->>'minimum')::numeric, 0), base.fee + coalesce((
    SELECT sum(CASE p->>'scheme' WHEN 'flat' THEN (p->>'rate')::numeric WHEN 'percent' THEN base.fee * (p->>'percent')::numeric / 100 ELSE 0 END)
    FROM jsonb_array_elements(s.plan->'addOns') a CROSS JOIN jsonb_array_elements(a->'prices') p WHERE a->>'feature' = ANY(s.add_ons)), 0)), 2)
FROM (SELECT tenant_id, id, coalesce((SELECT sum((p->>'rate')::numeric) FROM jsonb_array_elements(plan->'card'->'prices') p WHERE p->>'scheme' = 'flat'), 0) AS fee FROM subscriptions) base
WHERE base.tenant_id = s.tenant_id AND base.id = s.id;
