"""Make runs: plan a request, fit, render, score, edit, and file frames that other tools made."""
