DROP INDEX duplicates_act;
ALTER TABLE duplicates DROP COLUMN act;
