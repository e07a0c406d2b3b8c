"""Pages that people read: the report, the log, the status, one record. Pure functions over records."""
