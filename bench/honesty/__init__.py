"""Whether the reported score of hpo is right, and whether its selection is better than no search."""
