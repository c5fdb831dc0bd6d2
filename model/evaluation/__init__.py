"""What a checkpoint is worth: bits per byte, and samples."""
