"""Whether `hpo shift` names the shift that is there: made domains with a planted shift, and real rows split at random."""
