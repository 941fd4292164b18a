DROP TABLE usage_notices;
