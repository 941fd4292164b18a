DROP TABLE connection_list_keys;
DROP TABLE connection_lists;
