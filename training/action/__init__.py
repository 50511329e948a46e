"""The task `action`: which of the known actions do the people in a window perform."""
