"""What can be known exactly of Gaussian fields, and how schedules and samplers that follow from it do on data."""
