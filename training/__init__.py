"""Training: data sets, networks, fit and export; the only home of torch and Lightning."""

import os

# Read once, when torch's OpenMP is loaded, so it stands before every import of torch. By default a thread that waits
# for the others spins for milliseconds, which on busy cores takes from them the very time they need: two threads hardly
# came forward beside two other busy processes. One that sleeps at once is woken thousands of times a second. So it
# spins for microseconds, then sleeps (docs/models/action.md); with other OpenMPs than GNU's, which comes with torch on
# Linux, it sleeps at once. What the user has set stays.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
