DROP TABLE connection_messages;
DROP TABLE connection_hints;
DROP TABLE connection_hooks;
DROP TABLE connection_tokens;
