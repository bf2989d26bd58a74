"""Charts: drawings of numbers as SVG, on pages that need nothing else."""
