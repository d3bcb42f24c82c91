"""Read archives of media: tars, and Parquet files with a column of media."""
