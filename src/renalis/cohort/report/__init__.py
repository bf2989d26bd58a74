"""``cohort.html``: what became of a cohort, which cases to look at first, and what was measured."""
