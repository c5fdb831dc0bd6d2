"""Documents that hold items of evaluation sets: found, named, dropped or reported."""
