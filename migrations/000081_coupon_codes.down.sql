ALTER TABLE subscriptions DROP COLUMN recurring, DROP COLUMN currency;
DROP TABLE coupon_redemptions;
DROP TABLE coupon_codes;
