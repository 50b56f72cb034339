"""Builds re-identification data sets as Parquet shards; knows nothing of training."""
