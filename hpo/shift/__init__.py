"""Name the kind of shift between a source and a target domain before anything is trained."""
