"""Synthetic CT: label maps of kidneys become scans of whole abdomens.

``anatomy`` composes a body of tissues around the kidneys, ``appearance`` gives every tissue its
CT numbers for a contrast phase, ``scanner`` blurs, samples and adds noise. Everything follows from
a seed. Synthetic results are never called anything else.
"""
