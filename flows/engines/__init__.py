"""What works on parts: worker processes of this machine, Dask, Ray. `flows.runners` chooses among them."""
