"""Shard: Parquet files, manifests and the publishing protocol."""
