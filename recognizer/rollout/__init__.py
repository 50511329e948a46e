"""A rollout: the way of one challenger into service, decided purely; the store persists it, workers follow it."""
