"""Flows: the night, the schedule, the command and the adapters to MLflow, DVC and Great Expectations."""
