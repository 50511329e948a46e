"""The task `pose`: where the people in an image are, and each of their joints."""
