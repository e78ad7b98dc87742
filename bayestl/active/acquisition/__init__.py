"""What each possible measurement is worth, for its cost (``rates``)."""
