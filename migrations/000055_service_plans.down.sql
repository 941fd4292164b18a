DROP TABLE service_plan_links;
DROP TABLE service_plan_entities;
DROP TABLE service_plans;
