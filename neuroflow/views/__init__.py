"""What people ask of the database: read-only answers, as plain data, for the command line and the report."""
