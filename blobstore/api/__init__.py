"""HTTP: one file per resource. No SQL, no files, no rules."""
