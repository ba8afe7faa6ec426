"""What a run of the contract found, as values, JSON, HTML and lines on a terminal."""
