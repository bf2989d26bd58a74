"""What tests of several rooms share: small scans, runs, datasets and oracles."""
