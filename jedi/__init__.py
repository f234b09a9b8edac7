"""JEDI's door: what it sends, what it is answered, and how it hears of its jobs."""
