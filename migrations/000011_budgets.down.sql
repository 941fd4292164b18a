DROP TABLE budget_notices, budgets;
