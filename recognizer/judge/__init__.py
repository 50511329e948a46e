"""The judge of a rollout: from counted evidence to verdicts that stay valid however often one looks."""
