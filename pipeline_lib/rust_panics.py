"""How to know that a library written in Rust gave up."""


def is_rust_panic(error: BaseException) -> bool:
    """Whether a library written in Rust gave up: fastwarc does on damaged lz4.

    That exception is no `Exception`, so that nobody catches it unawares, and its class cannot be imported.
    """
    return type(error).__module__ == "pyo3_runtime" and type(error).__name__ == "PanicException"
