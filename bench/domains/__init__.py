"""What searching the strength of adaptation gains: reviews of one thing then of another, digits upright then rotated, and few labels."""
