"""What kind of shift lies between a source and a target domain, seen before anything is trained."""
