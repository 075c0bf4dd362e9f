"""Held-out questions: systems asked, answers scored, results told in one page."""
