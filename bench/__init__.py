"""What a trial-epoch costs: hpo beside its peers, on one core and on all, and beside what the machine can do."""
