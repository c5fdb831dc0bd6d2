"""When things happen: the only code that knows Prefect, and the only place that has an order."""
