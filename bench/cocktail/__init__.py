"""What a search of `search_spaces/cocktail.yaml` hands over, compared with the usual defaults and other methods."""
