DROP TABLE duplicate_scans;
DROP TABLE duplicates;
DROP TABLE duplicate_blocks;
