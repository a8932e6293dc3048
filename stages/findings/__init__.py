"""What is asked of a run: the post's claims, what tests and controls leave of them, and the words for both."""
