"""Forecasts against what happened: scores, surprise, belief. Pure functions over records."""
