"""Training: data sets, networks, fit and export; the only home of torch and Lightning."""
