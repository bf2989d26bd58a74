"""How the published systems predict: slices, windows, tiles, two phases, three planes, ensembles.

Everything here is a function of a network (arrays in, probabilities out), the arrays of a prepared
grid, and plain numbers. Which of them a recipe uses, and with which numbers, is the recipe's.
"""
