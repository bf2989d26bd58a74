"""Cohorts: thousands of scans, each in a process that may die without the others."""
