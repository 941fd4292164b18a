DROP TABLE invoice_lines, invoices, usage_events, counters, dead_letters, conflicts, journal, attempts, deliveries, links, entities, cursors;
