DROP TABLE subscriptions, custom_plans;
