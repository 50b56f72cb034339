"""What the code is that decides a result: fingerprints over syntax trees, and what changed."""
