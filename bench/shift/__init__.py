"""Whether `hpo shift` names the right shift: synthetic domains with a planted one, random halves of real tables."""
