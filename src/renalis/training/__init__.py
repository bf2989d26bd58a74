"""Training: endless synthetic patches, a loop that survives being killed, and the model file."""
