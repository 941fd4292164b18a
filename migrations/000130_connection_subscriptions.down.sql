DROP TABLE connection_subscriptions;
