"""What a trial-epoch costs: the documented recipe, the tightest sequential loop, and hpo, side by side on one core."""
