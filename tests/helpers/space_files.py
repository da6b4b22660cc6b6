"""Fragments of space files and of their error messages."""

HEAD = "study: s\ndata: {source: sklearn:iris}\n"
SEARCH = "search: {l1: {low: 0, high: 1}}\n"
SEARCH_KEYS = "List them with: hpo regularizers"
NINES = "9" * 300
