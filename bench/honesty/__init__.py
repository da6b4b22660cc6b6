"""Whether the number that hpo reports is the number that one gets, and whether what it selects is better than not searching."""
