"""The gain from searching the strength of adaptation: product reviews, rotated digits, and few labels."""
