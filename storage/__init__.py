"""Where bytes live: stores, schemas, manifests, runs. The ground floor: imports nothing of ours."""
