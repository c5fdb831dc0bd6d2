"""What a signal counts, in words: read off its name, which ends in what it is (`num_words`, `repeated_line_ratio`)."""

_WORDS = {"chars": "characters", "ips": "IP addresses", "emails": "e-mail addresses", "phones": "phone numbers"}


def signal_unit(signal: str) -> str:
    """The unit of a signal's values, in the plural: `words`; empty for a share, a score, or what has none."""
    _, found, counted = signal.rpartition("num_")
    if found:
        return " ".join(_WORDS.get(word, word) for word in counted.split("_"))
    if signal.endswith("_chars"):
        return "characters"
    if signal == "perplexity_bits_per_byte":
        return "bits per byte"
    return ""
