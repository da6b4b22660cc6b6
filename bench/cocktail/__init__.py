"""What `search_spaces/cocktail.yaml` reaches in three minutes of two cores, beside published and measured numbers of others."""
