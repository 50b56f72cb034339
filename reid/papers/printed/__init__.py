"""The papers' printed tables, one file per paper: numbers, and the parameters that make a row."""
