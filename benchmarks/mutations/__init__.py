"""The mutation matrix: faults seeded one at a time into a sound night, which the project's own code has to notice."""
