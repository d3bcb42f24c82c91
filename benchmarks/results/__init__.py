"""Results of runs: documents, tables, comparison, official formats and pages."""
