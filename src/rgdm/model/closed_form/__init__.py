"""What has a closed form and is measured in seconds: linear prediction, amplitude, correlations, the base field."""
