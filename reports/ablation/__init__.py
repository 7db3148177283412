"""Tables and pages of an ablation."""
