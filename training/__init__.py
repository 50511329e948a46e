"""Training: data sets, networks, fit and export; the only home of torch and Lightning."""

import os

# Read once, when torch's OpenMP is loaded, so it stands before every import of torch. By default a thread that waits
# for the others spins, which on busy cores takes from them the very time they need: two threads hardly came forward
# beside two other busy processes. Asleep they lose 4 % on idle cores. What the user has set stays.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
