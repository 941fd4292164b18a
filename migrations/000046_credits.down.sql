DROP TABLE credit_uses;
DROP TABLE credits;
