-- What agreements from before 000081 come to by the month: a feature that the plan has in itself costs nothing, though it was asked
-- for as an add-on too.
UPDATE subscriptions s SET recurring = round(greatest(coalesce((s.plan->'card'->>'minimum')::numeric, 0), base.fee + coalesce((
    SELECT sum(CASE p->>'scheme' WHEN 'flat' THEN (p->>'rate')::numeric WHEN 'percent' THEN base.fee * (p->>'percent')::numeric / 100 ELSE 0 END)
    FROM jsonb_array_elements(s.plan->'addOns') a CROSS JOIN jsonb_array_elements(a->'prices') p
    WHERE a->>'feature' = ANY(s.add_ons) AND NOT s.plan->'allows'->'features' ? (a->>'feature')), 0)), 2)
FROM (SELECT tenant_id, id, coalesce((SELECT sum((p->>'rate')::numeric) FROM jsonb_array_elements(plan->'card'->'prices') p WHERE p->>'scheme' = 'flat'), 0) AS fee FROM subscriptions) base
WHERE base.tenant_id = s.tenant_id AND base.id = s.id AND s.plan->'allows'->'features' ?| s.add_ons;
