"""The Helm chart: rendered for three sets of values, valid, and true of the code."""
