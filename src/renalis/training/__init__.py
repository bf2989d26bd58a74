"""Training: the engine, losses, schedules, checkpoints; knows neither recipes nor data."""
